import RPC
import ServiceKit

/// Who may call what is for administrators. The gateway has looked already; a fault of it, or
/// another process that reaches the socket, opens nothing.
package struct Administrators: Sendable {
    /// The role in a token's roles.
    private let role: String

    package init(role: String) { self.role = role }

    /// - Returns: who calls.
    /// - Throws: `RPCFailure` `forbidden` for anybody else.
    package func admit(_ context: CallContext) throws(RPCFailure) -> CallerIdentity {
        let caller = try context.requiredCaller()
        guard caller.roles.contains(role) else {
            throw RPCFailure(
                .permissionDenied, code: "forbidden",
                message: "This needs a token with the role \(role)")
        }
        return caller
    }
}
