import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Alters the answers to one path, from the one with a number on.
final class AlteringTransport: HTTPTransport {
    typealias Alteration = @Sendable (inout TransportResponse) -> Void

    private struct State {
        var alteration: Alteration?
        var seen: [[UInt8]] = []
    }

    let gateway: InMemoryGateway
    private let endpoint: String
    private let number: Int
    private let state = LockedValue(State())

    /// - Parameter number: the answers to this path that go by unaltered.
    init(_ gateway: InMemoryGateway, _ endpoint: GatewayEndpoint, after number: Int) {
        self.gateway = gateway
        self.endpoint = "/sync/" + endpoint.rawValue
        self.number = number
    }

    func alter(_ alteration: Alteration?) { state.change { $0.alteration = alteration } }

    /// The first answer that would be altered.
    var answer: [UInt8]? { state.value.seen.dropFirst(number).first }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        var response = try await gateway.send(request)
        guard request.url.path.hasSuffix(endpoint) else { return response }
        let body = response.body
        let state = state.change { state -> State in
            state.seen.append(body)
            return state
        }
        if state.seen.count > number { state.alteration?(&response) }
        return response
    }
}

/// A device in memory with an edit that was not sent, which nothing that it meets may lose.
struct FuzzedDevice {
    static let edited = key(9)
    static let editedName = "mine"

    let database: DatabaseQueue
    let gateway: InMemoryGateway
    let engine: SyncEngine

    static let tables = [
        SyncTable("users", conflictPolicy: .clientWins),
        SyncTable("posts", conflictPolicy: .clientWins),
    ]

    init(
        _ gateway: InMemoryGateway, _ transport: any HTTPTransport,
        _ tables: [SyncTable] = Self.tables
    ) throws {
        self.gateway = gateway
        database = try DatabaseQueue()
        try database.write { try $0.execute(sql: postsAndUsers) }
        engine = try Self.engine(database, transport, tables)
    }

    static func engine(
        _ database: DatabaseQueue, _ transport: any HTTPTransport,
        _ tables: [SyncTable] = Self.tables
    ) throws -> SyncEngine {
        let url = try #require(URL(string: "https://gateway.test"))
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = transport
        configuration.clock = ManualClock()
        configuration.randomness = { 1 }
        return try SyncEngine(
            for: database, tables: tables, configuration: configuration,
            credentials: { InMemoryGateway.token(user: "user", device: "one") })
    }

    func execute(_ sql: String, _ arguments: StatementArguments = []) throws {
        try database.write { try $0.execute(sql: sql, arguments: arguments) }
    }

    func edit() throws {
        try execute(
            "INSERT INTO users (id, name) VALUES (?, ?)", [Self.edited, Self.editedName])
    }

    /// Whether the edit is here, and waits to be sent or has arrived.
    func hasEdit() throws -> Bool {
        try database.read { db in
            let name = try String.fetchOne(
                db, sql: "SELECT name FROM users WHERE id = ?", arguments: [Self.edited])
            let waits = try Bool.fetchOne(
                db,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM _sync_pending WHERE key = :key) OR EXISTS (
                      SELECT 1 FROM _sync_log WHERE key = :key
                        AND seq > (SELECT folded FROM _sync_state))
                    """, arguments: ["key": Self.edited])
            return name == Self.editedName && (waits == true || hasArrived)
        }
    }

    var hasArrived: Bool {
        gateway.rows("users")[Self.edited]?.contains(Self.editedName) == true
    }
}
