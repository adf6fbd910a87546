import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Values as apps declare and store them, from device to device.
@Suite struct TypedValueTests {
    private static func arrives(_ declaration: String, _ expression: String, isStrict: Bool = false)
        async throws -> (sent: String?, came: String?, rejected: Int)
    {
        let schema =
            "CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, x \(declaration))\(isStrict ? " STRICT" : "")"
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway, schema: schema, tables: [SyncTable("v")])
        let two = try Device("two", gateway, schema: schema, tables: [SyncTable("v")])
        try one.execute("INSERT INTO v (id, x) VALUES (?, \(expression))", [key(1)])
        try await one.sync()
        try await two.sync()
        let query = "SELECT quote(x) || typeof(x) FROM v"
        return (try one.text(query), try two.text(query), one.engine.status.rejectedCount)
    }

    @Test(
        "Decimals, dates, JSON, booleans and untyped values arrive as they were stored",
        arguments: [
            ("TEXT", "'12345678901234567890.1234567890'"), ("TEXT", "'-0.10'"), ("TEXT", "'1e3'"),
            ("DECIMAL(10,2)", "12.5"), ("DECIMAL(10,2)", "'12.50'"), ("DECIMAL(10,2)", "100"),
            ("DATETIME", "'2026-02-28 23:59:60.999'"), ("DATE", "date('2024-02-29')"),
            ("TIMESTAMP", "unixepoch('2026-01-01')"), ("DATETIME", "julianday('2026-01-01')"),
            ("JSON", #"'{"a":[1,2.50,null],"b":"ü"}'"#), ("TEXT", #"json('{"a":[1]}')"#),
            ("JSONTEXT", #"'"null"'"#), ("BOOLEAN", "TRUE"), ("BOOLEAN", "FALSE"), ("", "'007'"),
            ("", "7"), ("", "7.0"), ("", "NULL"), ("VARCHAR(3)", "'longer than three'"),
            ("TEXT", "char(0x10FFFF, 0xE000, 0x1F600)"), ("TEXT", "''"), ("BLOB", "x''"),
            ("BLOB", "NULL"), ("BLOB", "zeroblob(100000)"), ("BLOB", "randomblob(1000)"),
            ("INTEGER", "-9223372036854775807"), ("INTEGER", "9007199254740993"),
            ("REAL", "9007199254740993"), ("REAL", "1.7976931348623157e308"), ("REAL", "5e-324"),
            ("REAL", "-1e-7"), ("REAL", "123456789012345680.0"), ("FLOAT", "3.0e10"),
            // SQLite has no NaN: it stores NULL.
            ("REAL", "9e999 - 9e999"),
        ])
    func arrival(declaration: String, expression: String) async throws {
        let (sent, came, rejected) = try await Self.arrives(declaration, expression)
        #expect(came == sent)
        #expect(rejected == 0)
    }

    @Test(
        "Columns of STRICT tables arrive as they were stored",
        arguments: [
            ("ANY", "'007'"), ("ANY", "7"), ("ANY", "7.5"), ("INT", "7"), ("REAL", "7"),
            ("TEXT", "'7'"), ("BLOB", "x'07'"), ("INTEGER", "NULL"), ("ANY", "'1.50'"),
        ])
    func strict(declaration: String, expression: String) async throws {
        let (sent, came, rejected) = try await Self.arrives(declaration, expression, isStrict: true)
        #expect(came == sent)
        #expect(rejected == 0)
    }

    @Test("Infinities are refused with the column's name, and the rest of the rows go")
    func infinity() async throws {
        for expression in ["9e999", "-9e999"] {
            #expect(try await Self.arrives("REAL", expression).rejected == 1)
        }
    }

    @Test("Generated columns, virtual and stored, are computed where they are and not sent")
    func generated() async throws {
        let schema = """
            CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, data TEXT,
              name TEXT GENERATED ALWAYS AS (json_extract(data, '$.name')) VIRTUAL,
              size INTEGER AS (length(data)) STORED);
            CREATE INDEX v_name ON v (name);
            """
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway, schema: schema, tables: [SyncTable("v")])
        let two = try Device("two", gateway, schema: schema, tables: [SyncTable("v")])
        try one.execute(#"INSERT INTO v (id, data) VALUES (?, '{"name":"Ann"}')"#, [key(1)])
        try await one.sync()
        try await two.sync()
        #expect(try two.lines("SELECT name, size FROM v WHERE name = 'Ann'") == ["Ann|14"])
        #expect(gateway.rows("v")[key(1)]?.contains("size") == false)
        try two.execute("UPDATE v SET data = json_set(data, '$.name', 'Eve')")
        try await two.sync()
        try await one.sync()
        #expect(try one.lines("SELECT name FROM v") == ["Eve"])
    }
}
