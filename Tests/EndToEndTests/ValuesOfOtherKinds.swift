import Foundation
import GRDB
import DevStack
import LocalPostgres
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import Testing

/// SQLite takes any value in any column. What devices write into columns of each declared type is
/// sent to columns of each of PostgreSQL's.
@Suite("Values of other kinds", .timeLimit(.minutes(5)))
struct ValuesOfOtherKinds {
    /// Of the server's columns that devices write.
    static let columns = [
        "whole": "int", "amount": "numeric(20,0)", "ratio": "double precision", "flag": "boolean",
        "at": "timestamptz", "day": "date", "photo": "bytea", "note": "text", "doc": "jsonb",
        "list": "int[]", "ident": "uuid",
    ]
    static let names = columns.keys.sorted()
    /// As SQL: of each of SQLite's storage classes.
    static let values = [
        "0", "1", "20260301", "1.5", "'abc'", "'5'", "'2026-03-01T10:00:00Z'", "'{\"a\":1}'",
        "'[1]'", "'00112233-4455-6677-8899-aabbccddeeff'", "x'00ff'",
    ]
    /// Columns that a notice names, by what all of the device's columns are declared as.
    static let misfits = [
        "": ["amount", "doc", "list"], "TEXT": ["doc", "list"],
        "INTEGER": ["amount", "at", "day", "doc", "list", "note", "photo"],
        "REAL": ["amount", "at", "day", "doc", "flag", "list", "note", "photo", "whole"],
        "NUMERIC": ["amount", "doc", "list", "note", "photo"],
        "BLOB": ["amount", "at", "day", "doc", "list", "note"],
        "JSON": ["amount", "at", "day", "ident", "note", "photo"],
    ]

    private static func plan(_ directory: StackDirectory) -> Stack.Plan {
        let list = names.map { "\($0) \(columns[$0] ?? "")" }.joined(separator: ", ")
        return EndToEndTests.plan(
            in: directory,
            """
            tables:
              - {table: business.kinds, owner: owner_id}
            """,
            """
            CREATE SCHEMA business;
            CREATE TABLE business.kinds (id uuid PRIMARY KEY, owner_id text NOT NULL, word text,
                touched int, \(list));
            """)
    }

    @Test("Each is stored as what it means, comes back, and is sent again unchanged; or is refused")
    func product() async throws {
        try await withStack(Self.plan) { stack, postgres in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            for (type, misfits) in Self.misfits.sorted(by: { $0.key < $1.key }) {
                let device = try await KindsDevice(type, stack, transport)
                try await device.engine.syncChanges()
                let told = device.engine.status.notices.filter { $0.kind == .columnType }
                #expect(told.map { $0.subject } == misfits.map { "kinds.\($0)" }, "\(type)")
                try await Self.exchange(device, postgres)
            }
            try await transport.shutdown()
        }
    }

    private static func exchange(_ device: KindsDevice, _ postgres: LocalPostgres) async throws {
        let type = device.type
        let ids = try device.insert()
        try await device.engine.syncChanges()
        let refused = try await device.engine.rejectedChanges
        for row in refused where row.message?.isEmpty != false {
            Issue.record("\(type): \(ids[row.key] ?? "?") is refused without a message")
        }
        let url = postgres.connectionURL(database: "oversync")
        let list = "'\(ids.keys.sorted().joined(separator: "','"))'"
        let mine = "FROM business.kinds k WHERE k.id IN (\(list))"
        let state = """
            SELECT k.id::text || ' ' || (to_jsonb(k) - 'word' - 'touched')::text \(mine) ORDER BY 1
            """
        var before: [String] = []
        try await withConnection(to: url) { connection in
            try await connection.execute(
                script: "UPDATE business.kinds k SET touched = 1 WHERE k.id IN (\(list))")
            before = try await lines(state, connection)
        }
        #expect(before.count == ids.count - refused.count, "\(type)")
        try await device.engine.syncChanges()
        let held = try await device.engine.heldRows
        // Text of the server's that is no base64 has no form in such a column, as a notice says.
        if type != "BLOB" { #expect(held.isEmpty, "\(type): \(held)") }
        try device.edit()
        try await device.engine.syncChanges()
        let stillRefused = try await device.engine.rejectedChanges
        #expect(Set(stillRefused.map(\.key)) == Set(refused.map(\.key)), "\(type)")
        // P8: what the server has stored is what the device was told, and what the app's table has.
        let report = try await device.engine.verify(deep: true)
        #expect(report.isEqual, "\(type): \(report)")
        #expect(report.tables.map { $0.values?.differingRows } == [0], "\(type)")
        try await withConnection(to: url) { connection in
            #expect(try await lines(state, connection) == before, "\(type)")
            let edited = try await lines(
                "SELECT count(*)::text \(mine) AND k.word = 'edited'", connection)
            #expect(edited == ["\(before.count - held.count)"], "\(type)")
        }
    }

    private static func lines(
        _ query: String, _ connection: PostgresConnection
    ) async throws -> [String] {
        let rows = try await connection.run(
            Command(Statement(name: "lines_\(query.hashValue)", sql: query)))
        return try (0..<rows.rowCount).map { try rows.string($0, 0) }
    }
}

/// A device whose columns all have one declared type.
private struct KindsDevice {
    let type: String
    let database: DatabaseQueue
    let engine: SyncEngine

    init(_ type: String, _ stack: StackAddress, _ transport: AsyncHTTPTransport) async throws {
        self.type = type
        database = try DatabaseQueue()
        let columns = ValuesOfOtherKinds.names.map { ", \($0) \(type)" }.joined()
        try await database.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE kinds (id TEXT PRIMARY KEY NOT NULL, word TEXT,
                        touched INTEGER\(columns))
                    """)
        }
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: stack.gateway)), schema: "business")
        configuration.transport = transport
        let token = try await stack.token(user: "user-\(type)", device: "phone-\(type)")
        engine = try SyncEngine(
            for: database, tables: [SyncTable("kinds")], configuration: configuration,
            credentials: { token })
    }

    /// Writes a row for each value in each column, and answers what is in each row.
    func insert() throws -> [String: String] {
        try database.write { db in
            var rows: [String: String] = [:]
            for name in ValuesOfOtherKinds.names {
                for value in ValuesOfOtherKinds.values {
                    let id = UUID().uuidString.lowercased()
                    rows[id] = "\(name) \(value)"
                    try db.execute(
                        sql: "INSERT INTO kinds (id, \(name)) VALUES (?, \(value))",
                        arguments: [id])
                }
            }
            return rows
        }
    }

    /// Edits another column of each row that the server has.
    func edit() throws {
        try database.write { try $0.execute(sql: "UPDATE kinds SET word = 'edited' WHERE touched") }
    }
}
