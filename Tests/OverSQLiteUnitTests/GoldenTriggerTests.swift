import Foundation
import GRDB
@testable import OverSQLite
import OverSQLiteTestSupport
import Testing
import TestSupport

/// Byte for byte: a device compares the text of its triggers and makes those that differ again.
@Suite("A device's triggers are as recorded in Golden/")
struct GoldenTriggerTests {
    @Test(arguments: DeviceSchema.all)
    func triggers(schema: DeviceSchema) throws {
        let queue = try DatabaseQueue()
        try queue.write { try $0.execute(sql: schema.sql) }
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: "https://gateway.test")), schema: "business")
        configuration.transport = InMemoryGateway()
        _ = try SyncEngine(
            for: queue, tables: schema.tables, configuration: configuration,
            credentials: { InMemoryGateway.token(device: "one") })
        let triggers = try queue.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT sql FROM sqlite_master
                    WHERE type = 'trigger' AND tbl_name NOT GLOB '_sync_*' ORDER BY tbl_name, name
                    """)
        }
        let text = triggers.map { "\($0);\n" }.joined(separator: "\n")
        let problem = try GoldenFile("\(schema.name).triggers").problem(with: text)
        #expect(problem == nil)
    }
}

/// Tables of an app that stand for many.
struct DeviceSchema: Sendable, CustomTestStringConvertible {
    let name: String
    let sql: String
    let tables: [SyncTable]

    var testDescription: String { name }

    static let all = [small, wide, awkward, numbered]

    static let small = DeviceSchema(
        name: "small",
        sql: """
            CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, stars INTEGER);
            CREATE TABLE tags (code TEXT PRIMARY KEY NOT NULL, label TEXT UNIQUE);
            """,
        tables: [SyncTable("notes"), SyncTable("tags", keyKind: .text)])

    /// Keys that are numbers: SQLite's own, and another column.
    static let numbered = DeviceSchema(
        name: "numbered",
        sql: """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, title TEXT);
            CREATE TABLE lines (
                number BIGINT NOT NULL UNIQUE, order_id INTEGER REFERENCES orders, note TEXT);
            """,
        tables: [
            SyncTable("orders", keyKind: .integer),
            SyncTable("lines", keyColumn: "number", keyKind: .integer),
        ])

    /// More columns than one `json_object` takes.
    static let wide = DeviceSchema(
        name: "wide",
        sql: """
            CREATE TABLE everything (id BLOB PRIMARY KEY NOT NULL, title TEXT, number INTEGER,
                price NUMERIC, ratio REAL, photo BLOB, doc JSON, at DATETIME, done BOOLEAN, untyped,
                doubled INTEGER GENERATED ALWAYS AS (number * 2) STORED,
            \((1...45).map { "    c\($0) INTEGER" }.joined(separator: ",\n")));
            """,
        tables: [SyncTable("everything")])

    static let awkward = DeviceSchema(
        name: "awkward",
        sql: """
            CREATE TABLE "select" ("group" TEXT PRIMARY KEY NOT NULL, "it's ""quoted"" here" TEXT,
                "Größe" INT, "where" TEXT, "a%b" TEXT, UNIQUE ("where", "a%b"));
            CREATE TABLE A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are (
                rowid_alias INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
                parent TEXT REFERENCES A_Table_Whose_Name_Is_Longer_Than_Most_Names_Are (id),
                "group" TEXT REFERENCES "select" ON DELETE CASCADE, UNIQUE (parent, "group"));
            """,
        tables: [
            SyncTable("select", keyKind: .text),
            SyncTable("a_table_whose_name_is_longer_than_most_names_are", keyColumn: "id"),
        ])
}
