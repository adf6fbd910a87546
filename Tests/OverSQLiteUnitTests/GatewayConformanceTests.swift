import Foundation
import GatewayConformance
import OverSQLite
import OverSQLiteTestSupport
import Testing

/// The gateway that tests of apps rest on answers as the real one; `EndToEndTests` runs the same on that.
@Suite(.timeLimit(.minutes(1))) struct GatewayConformanceTests {
    private static let tables: [InMemoryGateway.Table] = [
        .init("posts", required: ["user_id"], references: ["user_id": "users"]),
        .init("users", required: ["name"]), .init("currencies", key: .text),
        .init("tickets", key: .integer, references: ["next_id": "tickets"]),
    ]

    @Test("The gateway in memory obeys the protocol", arguments: Behaviour.all)
    func conformance(behaviour: Behaviour) async throws {
        let gateway = InMemoryGateway(tables: Self.tables, clock: SystemClock())
        let differences = try await behaviour.differences(
            of: GatewayUnderTest(
                base: try #require(URL(string: "https://gateway.test")), transport: gateway,
                token: { InMemoryGateway.token(user: $0, device: $1) },
                compact: { gateway.compact(user: $0) }))
        #expect(differences == [])
    }
}
