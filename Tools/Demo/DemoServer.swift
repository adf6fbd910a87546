import DevStack
import GatewayAccess
import OperatorKit

/// The stack that the demonstration's devices sync with.
package struct DemoServer: Sendable {
    /// Gives a device's token each time it is asked.
    typealias Credentials = @Sendable () async throws -> String

    let gateway: String
    /// Path of the certificate authority to trust; nil trusts those of the system.
    let authority: String?
    /// The PostgreSQL schema with the demonstration's tables.
    let schema: String
    /// Where PostgreSQL's copy is read; nil compares the devices alone.
    let database: String?
    let credentials: @Sendable (_ user: String, _ device: String) -> Credentials

    /// The private stack of this machine, whose development sign-in knows everybody.
    package init(_ stack: StackAddress) {
        gateway = stack.gateway
        authority = stack.authority
        schema = DemoTables.schema
        database = stack.database
        credentials = { user, device in
            let signIn = DevelopmentSignIn(stack: { stack }, user: user, device: device)
            return { try await signIn.token() }
        }
    }

    /// Any stack.
    package init(_ access: GatewayAccess, schema: String, database: String?) {
        gateway = access.url
        authority = access.authority
        self.schema = schema
        self.database = database
        credentials = { user, device in { try await access.token(user: user, device: device) } }
    }
}

/// The people of one demonstration.
package struct DemoPeople: Sendable {
    /// Has a phone and a laptop.
    let user: String
    /// Has a tablet, and must see nothing.
    let stranger: String

    /// The same in every run, so that a run goes on with what the last one left.
    package static let regulars = DemoPeople(user: "alice", stranger: "bob")

    /// Nobody whom a stack has seen before.
    package static func strangers() -> DemoPeople {
        let run = String(UInt64.random(in: 1 ... .max), radix: 36)
        return DemoPeople(user: "demo-alice-\(run)", stranger: "demo-bob-\(run)")
    }
}
