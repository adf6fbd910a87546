import Foundation
import GRDB
import OperatorKit
import OverSQLite

/// One device of the demonstration: an app's own SQLite file with a sync engine on it.
struct DemoDevice: Sendable {
    let name: String
    let database: DatabasePool
    let engine: SyncEngine
    let transport: CountingTransport

    /// Opens or makes the device's file.
    init(_ name: String, user: String, folder: String, server: DemoServer) throws {
        self.name = name
        database = try DatabasePool(path: "\(folder)/\(user)-\(name).sqlite")
        try database.write { try $0.execute(sql: DemoTables.deviceSchema) }
        guard let url = URL(string: server.gateway) else {
            throw StackError("\(server.gateway) is not a URL")
        }
        let credentials = server.credentials(user, name)
        transport = try CountingTransport(trusting: server.authority)
        var configuration = SyncConfiguration(gateway: url, schema: server.schema)
        configuration.transport = transport
        engine = try SyncEngine(
            for: database, tables: DemoTables.synced, configuration: configuration,
            credentials: { try await credentials() })
    }

    /// Longest pause between attempts at a sync, and how many there are.
    private static let retryPause: Duration = .seconds(1)
    private static let attempts = 20

    /// Syncs, and tries again while the services are away, as the engine's own loop would.
    func sync(say: (String) -> Void) async throws {
        for attempt in 1... {
            do {
                return try await engine.syncChanges()
            } catch let error as SyncError {
                switch error {
                case .unreachable, .busy, .notTheGateway:
                    guard attempt < Self.attempts else { throw error }
                    say("  \(name): no answer from the server (\(error)); trying again")
                    try await Task.sleep(for: Self.retryPause)
                default: throw error
                }
            }
        }
    }

    /// Rows that the app wrote and the server has not taken yet.
    func pendingCount() throws -> Int {
        try database.read {
            try Int.fetchOne(
                $0, sql: "SELECT count(*) FROM sync_row_status WHERE state <> 'synced'") ?? 0
        }
    }

    func rowCount() throws -> Int {
        try database.read { db in
            try DemoTables.compared.reduce(0) { sum, table in
                sum + (try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table.name)") ?? 0)
            }
        }
    }

    /// The digest of each table, uuids in their canonical spelling.
    func digests() throws -> [String: TableDigest] {
        try database.read { db in
            var digests: [String: TableDigest] = [:]
            for table in DemoTables.compared {
                let columns = table.columns.joined(separator: ", ")
                let rows: [[String?]] = try Row.fetchAll(
                    db, sql: "SELECT \(columns) FROM \(table.name)"
                )
                .map { row in row.map { Self.canonical($0.1) } }
                digests[table.name] = TableDigest(rows.sorted { ($0[0] ?? "") < ($1[0] ?? "") })
            }
            return digests
        }
    }

    private static func canonical(_ value: DatabaseValue) -> String? {
        switch value.storage {
        case .null: nil
        case .int64(let number): "\(number)"
        case .double(let number): "\(number)"
        case .string(let text): UUID(uuidString: text).map { $0.uuidString.lowercased() } ?? text
        case .blob(let data):
            UUID(data: data)?.uuidString.lowercased() ?? data.base64EncodedString()
        }
    }
}

extension UUID {
    /// The uuid in a BLOB of 16 bytes.
    init?(data: Data) {
        guard data.count == 16 else { return nil }
        self = data.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
    }

    var data: Data { withUnsafeBytes(of: uuid) { Data($0) } }
}
