import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows that SQLite removes by itself for OR REPLACE, in any unique index.
@Suite struct ReplacedRowTests {
    struct Case: Sendable, CustomTestStringConvertible {
        /// Columns other than the key, and indexes.
        var columns: String
        var indexes = ""
        /// Values of the first row, and of the one that replaces it.
        var values: [String]

        var testDescription: String { columns + " " + indexes }

        static let all = [
            Case(columns: "a TEXT UNIQUE, b", values: ["'x', 1", "'x', 2"]),
            Case(
                columns: "a TEXT, b INTEGER DEFAULT 0",
                indexes: "CREATE UNIQUE INDEX u ON t (a) WHERE b = 0",
                values: ["'x', 0", "'x', 0"]),
            Case(
                columns: "a TEXT, b", indexes: "CREATE UNIQUE INDEX u ON t (lower(a))",
                values: ["'x', 1", "'X', 1"]),
            Case(
                columns: "a TEXT, b",
                indexes: """
                    CREATE UNIQUE INDEX "u (odd, name" ON t ( -- a comment, with commas (
                      a || '),' || ifnull("b", ',') /* and ( this */ DESC ) WHERE a <> ') WHERE'
                    """, values: ["'x', NULL", "'x', ','"]),
            Case(
                columns: "a TEXT, b", indexes: "CREATE UNIQUE INDEX u ON t (a COLLATE NOCASE)",
                values: ["'x', 1", "'X', 1"]),
            Case(
                columns: "a TEXT COLLATE NOCASE, b",
                indexes: "CREATE UNIQUE INDEX u ON t (a) WHERE b IS NOT NULL",
                values: ["'x', 1", "'X', 2"]),
            Case(
                columns: "a TEXT, b",
                indexes:
                    "CREATE UNIQUE INDEX u ON t (a, coalesce(b, 0) DESC) WHERE a IN ('x', 'y')",
                values: ["'x', NULL", "'x', 0"]),
            Case(columns: "a INTEGER PRIMARY KEY, b", values: ["5, 1", "5, 2"]),
            Case(
                columns: "a TEXT, b TEXT NOT NULL DEFAULT 'd' UNIQUE",
                values: ["'x', 'd'", "'y', NULL"]),
            Case(
                columns: "a TEXT, b TEXT AS (lower(a)) STORED UNIQUE", values: ["'x'", "'X'"]),
        ]

        var schema: String {
            let id = columns.contains("PRIMARY KEY") ? "TEXT NOT NULL UNIQUE" : "TEXT PRIMARY KEY"
            return "CREATE TABLE t (id \(id), \(columns)); \(indexes)"
        }

        var names: String { values[0].contains(",") ? "id, a, b" : "id, a" }
    }

    private static func device(_ name: String, _ gateway: InMemoryGateway, _ schema: String) throws
        -> Device
    {
        try Device(name, gateway, schema: schema, tables: [SyncTable("t", keyColumn: "id")])
    }

    @Test(
        "the row that OR REPLACE removes is sent as deleted, whichever index it is in",
        arguments: Case.all, [true, false])
    func replaced(_ line: Case, isUpdate: Bool) async throws {
        let gateway = InMemoryGateway()
        let one = try Self.device("one", gateway, line.schema)
        let two = try Self.device("two", gateway, line.schema)
        try one.execute("INSERT INTO t (\(line.names)) VALUES ('\(key(1))', \(line.values[0]))")
        if isUpdate {
            let other =
                line.columns.contains("DEFAULT 'd'") ? "id, b) VALUES ('\(key(2))', 'o'" : nil
            try one.execute("INSERT INTO t (\(other ?? "id) VALUES ('\(key(2))'"))")
        }
        try await one.sync()
        try await two.sync()
        if isUpdate {
            // A list of columns needs as many values.
            let names = line.names.replacing("id, ", with: "")
            try one.execute(
                """
                UPDATE OR REPLACE t SET (\(names)) = (SELECT \(line.values[1]))
                WHERE id = '\(key(2))'
                """)
        } else {
            try one.execute(
                "INSERT OR REPLACE INTO t (\(line.names)) VALUES ('\(key(2))', \(line.values[1]))")
        }
        #expect(try one.lines("SELECT id FROM t") == [key(2)])
        try await one.sync()
        #expect(Array(gateway.rows("t").keys) == [key(2)])
        try await two.sync()
        #expect(try two.lines("SELECT id FROM t") == [key(2)])
    }

    @Test("a row that the index does not have, or with another value, is not taken for replaced")
    func others() async throws {
        let device = try Self.device(
            "one", InMemoryGateway(),
            """
            CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b INTEGER);
            CREATE UNIQUE INDEX u ON t (lower(a)) WHERE b = 0;
            """)
        try device.execute(
            "INSERT INTO t VALUES ('\(key(1))', 'x', 1), ('\(key(2))', 'y', 0)")
        try await device.sync()
        try device.execute("INSERT OR REPLACE INTO t VALUES ('\(key(3))', 'X', 0)")
        try device.execute("INSERT OR IGNORE INTO t VALUES ('\(key(4))', 'Y', 0)")
        try device.execute("INSERT OR REPLACE INTO t VALUES ('\(key(5))', 'Y', 1)")
        #expect(try device.queue() == ["INSERT|0", "INSERT|0"])
        try await device.sync()
        #expect(device.gateway.rows("t").count == 4)
    }

    @Test("a replaced row whose deletion is refused and discarded is again what the server has")
    func discarded() async throws {
        let device = try Self.device("one", InMemoryGateway(), Case.all[1].schema)
        try device.execute("INSERT INTO t VALUES ('\(key(1))', 'x', 0)")
        try await device.sync()
        try device.execute("INSERT OR REPLACE INTO t VALUES ('\(key(2))', 'x', 0)")
        device.gateway.refuse("t", key(1), reason: "bad_payload")
        try await device.sync()
        try device.execute("DELETE FROM t")
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.lines("SELECT id, a, b FROM t") == ["\(key(1))|x|0"])
    }

    @Test("the parts of an index are read from its text")
    func indexText() throws {
        func parts(_ sql: String) -> [String]? {
            IndexText(sql).map { $0.terms + ["/", $0.predicate ?? "-"] }
        }
        #expect(parts("CREATE UNIQUE INDEX i ON t (a)") == ["a", "/", "-"])
        #expect(parts("CREATE INDEX i ON t(a asc,b  DESC)") == ["a", "b", "/", "-"])
        #expect(
            parts("create index i on [t (x)] (f(a, 'it''s ('), \"b,)\" COLLATE NOCASE desc)")
                == ["f(a, 'it''s (')", "\"b,)\" COLLATE NOCASE", "/", "-"])
        #expect(
            parts("CREATE INDEX i ON t (a)\n where (b = ')' -- so\n AND c)")
                == ["a", "/", "(b = ')'   AND c)"])
        #expect(
            parts("CREATE INDEX i ON t (descasc, \"desc\", (a)desc)")
                == ["descasc", "\"desc\"", "(a)", "/", "-"])
        #expect(parts("CREATE TABLE t") == nil)
    }
}
