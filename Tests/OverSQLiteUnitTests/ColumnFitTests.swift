import Foundation
import GRDB
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// The device knows the server's types, and reports which of its columns cannot hold them.
@Suite struct ColumnFitTests {
    private static let declared = ["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "JSON", ""]

    /// The server's kind and type, and for each declared type whether it fits.
    static let fits: [(kind: String, type: String, fitting: Set<String>)] = [
        ("boolean", "boolean", ["TEXT", "INTEGER", "NUMERIC", "BLOB", "JSON", ""]),
        ("integer", "bigint", ["TEXT", "INTEGER", "NUMERIC", "BLOB", "JSON", ""]),
        ("float", "double precision", Set(declared)),
        ("decimal", "numeric", ["TEXT"]), ("decimal", "numeric(20,0)", ["TEXT"]),
        ("decimal", "numeric(18)", ["TEXT", "INTEGER", "NUMERIC", "BLOB", "JSON", ""]),
        ("decimal", "numeric(10,2)", Set(declared)), ("decimal", "numeric(", ["TEXT"]),
        ("decimal", "numeric(a,b)", ["TEXT"]), ("decimal", "numeric(1,2,3)", ["TEXT"]),
        ("text", "character varying(40)", ["TEXT", ""]),
        ("uuid", "uuid", ["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", ""]),
        ("bytes", "bytea", ["BLOB", "TEXT", ""]),
        ("time", "timestamp with time zone", ["TEXT", "NUMERIC", ""]), ("json", "jsonb", ["JSON"]),
        ("one of a later server's", "x", Set(declared)),
    ]

    @Test("a column is told of where its affinity cannot hold the server's type", arguments: fits)
    func rule(kind: String, type: String, fitting: Set<String>) throws {
        for declaration in Self.declared {
            let device = try Device(
                schema: "CREATE TABLE t (id TEXT PRIMARY KEY, V \(declaration), w REAL)",
                tables: [SyncTable("t", localColumns: ["w"])])
            let table = Capabilities.Table(
                schema: "business", table: "t",
                columns: ["id", "v", "w"].map { .init(name: $0, type: type, kind: kind) })
            let notices = ColumnFit.notices(
                device.engine.session.catalog.tables, schema: "business", offered: [table])
            #expect(notices.map(\.subject) == (fitting.contains(declaration) ? [] : ["t.V"]))
            for notice in notices {
                #expect(notice.kind == .columnType)
                #expect(notice.message.contains(type))
                #expect(notice.advice.hasPrefix("declare the column "))
            }
            let elsewhere = ColumnFit.notices(
                device.engine.session.catalog.tables, schema: "other", offered: [table])
            #expect(elsewhere.isEmpty)
        }
    }

    private static func tables(_ columns: String) -> String {
        #"[{"schema":"business","table":"t","key_kind":"uuid","read":true,"columns":\#(columns)}]"#
    }

    private static let wide =
        #"[{"name":"v","type":"numeric(20,0)","kind":"decimal","of_a_later_server":[1]}]"#

    private func device(_ transport: TypedGateway) throws -> Device {
        try Device(
            schema: "CREATE TABLE t (id TEXT PRIMARY KEY, v DECIMAL(20,0))",
            tables: [SyncTable("t")], adjust: { $0.transport = transport })
    }

    private func told(_ device: Device) -> [String?] {
        device.engine.status.notices.filter { $0.kind == .columnType }.map(\.subject)
    }

    @Test("it is told of with the first sync, once however many rows there are, and while it is so")
    func lifetime() async throws {
        let gateway = InMemoryGateway()
        let transport = TypedGateway(gateway, Self.tables(Self.wide))
        let device = try device(transport)
        #expect(told(device) == [])
        for number in 1...20 {
            gateway.write("t", key(number), #"{"id":"\#(key(number))","v":12345678901234567890}"#)
        }
        try await device.sync()
        #expect(told(device) == ["t.v"])
        transport.tables.withLock { $0 = Self.tables("[]") }
        try await device.sync()
        #expect(told(device) == ["t.v"])
        // The server's tables are looked at again after a while.
        device.clock.advance(seconds: 3601)
        try await device.sync()
        #expect(told(device) == [])
        transport.tables.withLock { $0 = Self.tables(Self.wide) }
        device.clock.advance(seconds: -7200)
        try await device.sync()
        #expect(told(device) == ["t.v"])
    }

    @Test(
        "columns in a form of another server's say nothing, and sync goes on",
        arguments: ["7", "null", "[7]", #"[{"name":"v"}]"#, #"{"v":"numeric"}"#])
    func malformed(columns: String) async throws {
        let gateway = InMemoryGateway()
        let device = try device(TypedGateway(gateway, Self.tables(columns)))
        try device.execute("INSERT INTO t VALUES (?, 1)", [key(1)])
        try await device.sync()
        #expect(told(device) == [])
        #expect(gateway.rows("t").count == 1)
    }
}
