import Foundation
import GatewayConformance
import OperatorKit
import OverSQLiteAsyncHTTP
import Sidecar
import Testing

@Suite("Gateway conformance", .serialized, .timeLimit(.minutes(5)))
struct GatewayConformanceOnTheStack {
    @Test("The real stack obeys the protocol, behaviour for behaviour as the gateway in memory")
    func conformance() async throws {
        try await withStack({
            plan(
                in: $0, ConformanceTables.registrations, ConformanceTables.businessSchema)
        }) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let gateway = GatewayUnderTest(
                base: try #require(URL(string: stack.gateway)), transport: transport,
                token: { try await stack.token(user: $0, device: $1) },
                compact: { try await Self.compact(user: $0, stack) })
            for behaviour in Behaviour.all {
                let differences = try await behaviour.differences(of: gateway)
                #expect(differences == [], "\(behaviour.name)")
            }
            try await transport.shutdown()
        }
    }

    private static func compact(user: String, _ stack: StackAddress) async throws {
        try await withConnection(to: stack.database) { connection in
            _ = try await Compactor(
                connection: connection, retention: Retention(superseded: 0, tombstones: 0)
            ).run(user: user)
        }
    }
}
