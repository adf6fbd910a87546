import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The tables most tests use.
let postsAndUsers = """
    CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
    CREATE TABLE posts (
      id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
      title TEXT, body TEXT, likes INTEGER);
    """

/// One device: a database file, an engine, and a gateway it may share with others.
///
/// The file goes with the device.
final class Device {
    let name: String
    let path: String
    let gateway: InMemoryGateway
    let clock = ManualClock()
    let tables: [SyncTable]
    let adjust: (inout SyncConfiguration) -> Void
    private(set) var database: DatabasePool
    private(set) var engine: SyncEngine

    init(
        _ name: String = "one", _ gateway: InMemoryGateway = InMemoryGateway(),
        schema: String = postsAndUsers,
        tables: [SyncTable] = [SyncTable("users"), SyncTable("posts")], user: String = "user",
        adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) throws {
        self.name = name
        self.gateway = gateway
        self.tables = tables
        self.adjust = adjust
        path = NSTemporaryDirectory() + "oversqlite-\(UUID().uuidString).db"
        database = try DatabasePool(path: path)
        try database.write { try $0.execute(sql: schema) }
        engine = try Self.engine(database, gateway, clock, tables, name, user, adjust)
    }

    deinit {
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: path + suffix)
        }
    }

    /// What a killed process does: a new connection and a new engine on the file as it is.
    func reopen(
        tables: [SyncTable]? = nil, user: String = "user",
        migrate: (Database) throws -> Void = { _ in }
    ) throws {
        try database.close()
        database = try DatabasePool(path: path)
        try database.write(migrate)
        engine = try Self.engine(
            database, gateway, clock, tables ?? self.tables, name, user, adjust)
    }

    private static func engine(
        _ database: DatabasePool, _ gateway: InMemoryGateway, _ clock: ManualClock,
        _ tables: [SyncTable],
        _ name: String, _ user: String, _ adjust: (inout SyncConfiguration) -> Void
    ) throws -> SyncEngine {
        let url = try #require(URL(string: "https://gateway.test"))
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = gateway
        configuration.clock = clock
        configuration.randomness = { 1 }
        adjust(&configuration)
        return try SyncEngine(
            for: database, tables: tables, configuration: configuration,
            credentials: { InMemoryGateway.token(user: user, device: name) })
    }

    /// Another engine on the database, whose tokens come from elsewhere.
    func engine(credentials: @escaping @Sendable () async throws -> String) throws -> SyncEngine {
        try SyncEngine(
            for: database, tables: tables, configuration: engine.session.configuration,
            credentials: credentials)
    }

    /// A copy of the database as it is, for `reopen(from:)`.
    func copyOfDatabase() throws -> String {
        let copy = path + ".copy"
        try database.writeWithoutTransaction {
            try $0.execute(sql: "VACUUM INTO ?", arguments: [copy])
        }
        return copy
    }

    /// What a device restored from a backup does.
    func reopen(from copy: String) throws {
        try database.close()
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: path + suffix)
        }
        try FileManager.default.moveItem(atPath: copy, toPath: path)
        database = try DatabasePool(path: path)
        engine = try Self.engine(database, gateway, clock, tables, name, "user", adjust)
    }

    func execute(_ sql: String, _ arguments: StatementArguments = []) throws {
        try database.write { try $0.execute(sql: sql, arguments: arguments) }
    }

    /// The statement as something to be done later, in the middle of a request.
    func writing(_ sql: String) -> @Sendable () async throws -> Void {
        { [database] in try await database.write { try $0.execute(sql: sql) } }
    }

    func value(_ sql: String, _ arguments: StatementArguments = []) throws -> DatabaseValue {
        try database.read {
            try DatabaseValue.fetchOne($0, sql: sql, arguments: arguments) ?? .null
        }
    }

    func text(_ sql: String, _ arguments: StatementArguments = []) throws -> String? {
        String.fromDatabaseValue(try value(sql, arguments))
    }

    func count(_ sql: String) throws -> Int { Int.fromDatabaseValue(try value(sql)) ?? 0 }

    /// Rows of a query as text, columns joined by `|`.
    func lines(_ sql: String) throws -> [String] {
        try database.read { db in
            try Row.fetchAll(db, sql: sql).map { row in
                row.databaseValues.map { $0.isNull ? "-" : $0.storage.value.map { "\($0)" } ?? "-" }
                    .joined(separator: "|")
            }
        }
    }

    /// The queue as `op base`, in order, after folding.
    func queue() throws -> [String] {
        let catalog = engine.session.catalog
        _ = try database.write { try ChangeLog(db: $0, catalog: catalog).fold() }
        return try lines("SELECT op, base FROM _sync_pending ORDER BY seq")
    }

    func sync() async throws { try await engine.syncChanges() }
}

/// A key for tests: the same number, the same UUID.
func key(_ number: Int) -> String {
    let digits = String(number)
    return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
}
