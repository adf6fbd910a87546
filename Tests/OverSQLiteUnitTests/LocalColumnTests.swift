import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Columns that stay on the device.
@Suite struct LocalColumnTests {
    private static let schema = """
        CREATE TABLE files (id TEXT PRIMARY KEY NOT NULL, title TEXT COLLATE NOCASE,
          Local_Path TEXT, scroll REAL NOT NULL DEFAULT 0)
        """

    private static func device(
        _ name: String, _ gateway: InMemoryGateway, _ local: Set<String> = ["local_path", "SCROLL"]
    ) throws -> Device {
        try Device(
            name, gateway, schema: schema, tables: [SyncTable("files", localColumns: local)])
    }

    @Test("they are neither sent nor touched by what comes, and alone they are no edit")
    func stay() async throws {
        let gateway = InMemoryGateway()
        let phone = try Self.device("phone", gateway)
        let laptop = try Self.device("laptop", gateway)
        try phone.execute("INSERT INTO files VALUES (?, 'doc', '/var/doc', 0.5)", [key(1)])
        try await phone.sync()
        #expect(gateway.rows("files")[key(1)] == #"{"id":"\#(key(1))","title":"doc"}"#)
        try await laptop.sync()
        #expect(try laptop.lines("SELECT title, local_path, scroll FROM files") == ["doc|-|0.0"])
        try laptop.execute("UPDATE files SET local_path = '/Users/doc', title = title")
        #expect(try laptop.queue().isEmpty)
        try phone.execute("UPDATE files SET scroll = 0.9")
        #expect(try phone.queue().isEmpty)
        try laptop.execute("UPDATE files SET title = 'Doc', scroll = 3")
        #expect(try laptop.queue() == ["UPDATE|1"])
        try await laptop.sync()
        try await phone.sync()
        #expect(
            try phone.lines("SELECT title, local_path, scroll FROM files") == ["Doc|/var/doc|0.9"])
        #expect(try laptop.lines("SELECT local_path, scroll FROM files") == ["/Users/doc|3.0"])
    }

    @Test("a conflict, a discarded edit and a change of type leave them alone, too")
    func conflicts() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("phone", gateway)
        try device.execute("INSERT INTO files VALUES (?, 'doc', '/p', 0.5)", [key(1)])
        try await device.sync()
        try device.execute("UPDATE files SET title = 'mine', scroll = 0.6")
        gateway.write("files", key(1), #"{"id":"\#(key(1))","title":"theirs"}"#)
        try await device.sync()
        #expect(try device.lines("SELECT local_path, scroll FROM files") == ["/p|0.6"])
        gateway.refuse("files", key(1), reason: "bad_payload")
        try device.execute("UPDATE files SET title = 'refused', scroll = 0.7")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        #expect(try device.lines("SELECT local_path, scroll FROM files") == ["/p|0.7"])
    }

    @Test("a column of the server's by that name goes back as it came, and fills the column later")
    func serverHasIt() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("phone", gateway)
        gateway.write(
            "files", key(1), #"{"id":"\#(key(1))","title":"a","local_path":"theirs"}"#)
        try await device.sync()
        try device.execute("UPDATE files SET local_path = 'here'")
        try device.execute("UPDATE files SET title = 'b'")
        try await device.sync()
        let sent = try #require(gateway.rows("files")[key(1)])
        #expect(sent.contains(#""title":"b""#) && sent.contains(#""local_path":"theirs""#))
        #expect(try device.text("SELECT local_path FROM files") == "here")
        try device.reopen(tables: [SyncTable("files", localColumns: ["scroll"])])
        #expect(try device.text("SELECT local_path FROM files") == "theirs")
        #expect(try device.queue().isEmpty)
    }

    @Test("a column can be dropped, and one that was sent can become local")
    func dropped() async throws {
        let gateway = InMemoryGateway()
        let device = try Self.device("phone", gateway, ["scroll"])
        try device.execute("INSERT INTO files VALUES (?, 'doc', '/p', 0.5)", [key(1)])
        try await device.sync()
        let tables = [SyncTable("files", localColumns: ["scroll", "local_path"])]
        try device.reopen(tables: tables)
        try device.execute("UPDATE files SET local_path = '/q'")
        #expect(try device.queue().isEmpty)
        try device.reopen(tables: [SyncTable("files", localColumns: ["scroll"])]) { db in
            try SyncEngine.prepareToDropColumns(of: "files", in: db)
            try db.execute(sql: "ALTER TABLE files DROP COLUMN local_path")
            try db.execute(sql: "UPDATE files SET title = 'x'")
        }
        try await device.sync()
        #expect(gateway.rows("files")[key(1)]?.contains(#""title":"x""#) == true)
    }

    @Test("a swap of unique values that only this device has keeps them")
    func unique() async throws {
        let gateway = InMemoryGateway()
        let device = try Device(
            "one", gateway,
            schema: """
                CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, pos INTEGER, shelf INTEGER);
                CREATE UNIQUE INDEX place ON steps (shelf, pos);
                """, tables: [SyncTable("steps", localColumns: ["shelf"])])
        for number in 1...2 {
            gateway.write("steps", key(number), #"{"id":"\#(key(number))","pos":\#(number)}"#)
        }
        try await device.sync()
        try device.execute("UPDATE steps SET shelf = 7")
        for number in 1...2 {
            gateway.write("steps", key(number), #"{"id":"\#(key(number))","pos":\#(3 - number)}"#)
        }
        try await device.sync()
        #expect(try device.lines("SELECT pos, shelf FROM steps ORDER BY id") == ["2|7", "1|7"])
        #expect(gateway.uploads.isEmpty)
    }

    @Test(
        "what cannot stay on the device is refused when the engine is made",
        arguments: [
            ("nothing", "it has no column nothing: check localColumns"),
            ("id", "the key column id cannot stay on the device"),
            (
                "title",
                "the column title stays on the device and is NOT NULL: give it a default, for rows "
                    + "that come from the server"
            ),
        ])
    func refused(column: String, reason: String) {
        #expect(throws: SyncError.unusableTable("files", reason)) {
            _ = try Device(
                schema: "CREATE TABLE files (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL)",
                tables: [SyncTable("files", localColumns: [column])])
        }
    }
}
