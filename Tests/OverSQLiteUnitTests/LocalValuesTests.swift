import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Values that a local migration has written stay when the log is read again from its start.
@Suite struct LocalValuesTests {
    private static let schema = """
        CREATE TABLE chats (id TEXT PRIMARY KEY NOT NULL, title TEXT);
        CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL, name TEXT);
        CREATE TABLE labels (id TEXT PRIMARY KEY NOT NULL);
        """
    private static let tables = [SyncTable("chats"), SyncTable("tags")]
    private static let titles = "SELECT title FROM chats ORDER BY id"

    /// A device with two rows of its own, one from elsewhere, and a tag.
    private static func device() async throws -> Device {
        let device = try Device(schema: schema, tables: tables)
        for number in 1...2 {
            try device.execute("INSERT INTO chats VALUES (?, 'a')", [key(number)])
        }
        try device.execute("INSERT INTO tags VALUES (?, 't')", [key(9)])
        try await device.sync()
        device.gateway.write("chats", key(3), #"{"id":"\#(key(3))","title":"a"}"#)
        try await device.sync()
        return device
    }

    /// What makes the device read the log again from its start.
    enum Cause: CaseIterable, Sendable {
        case newTable, rebuiltTable, broughtBack, historyPruned
    }

    private static func migrate(_ device: Device, _ cause: Cause) async throws {
        try device.reopen(tables: cause == .newTable ? tables + [SyncTable("labels")] : nil) { db in
            try SyncEngine.withLocalMigration(in: db) {
                try db.execute(sql: "UPDATE chats SET title = 'local'")
                if cause == .broughtBack { try db.execute(sql: "DELETE FROM tags") }
            }
            if cause == .rebuiltTable {
                try db.execute(
                    sql: """
                        CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
                        INSERT INTO n SELECT * FROM tags;
                        DROP TABLE tags;
                        ALTER TABLE n RENAME TO tags;
                        """)
            }
        }
        guard cause == .historyPruned else { return }
        let catalog = device.engine.session.catalog
        try await device.database.write { db in
            try Reread(db: db, catalog: catalog, reason: .historyPruned).begin(epoch: nil)
        }
    }

    @Test("the device's own rows keep what a local migration wrote", arguments: Cause.allCases)
    func kept(cause: Cause) async throws {
        let device = try await Self.device()
        let (before, requests) = (device.gateway.logCount(), device.gateway.requests.count)
        try await Self.migrate(device, cause)
        for _ in 1...2 { try await device.sync() }
        #expect(
            device.gateway.requests.dropFirst(requests).contains {
                $0.query["after"] == "0" && $0.query["include_self"] == "true"
            })
        #expect(try device.lines(Self.titles) == ["local", "local", "local"])
        #expect(try device.lines("SELECT name FROM tags") == ["t"])
        #expect(device.gateway.logCount() == before)
        #expect(try device.queue().isEmpty)
        // The next version brings the server's values.
        device.gateway.write("chats", key(1), #"{"id":"\#(key(1))","title":"b"}"#)
        try await device.sync()
        #expect(try device.lines(Self.titles) == ["b", "local", "local"])
    }

    @Test("what the server stores of later rows is taken all the same")
    func laterRows() async throws {
        let device = try await Self.device()
        try await Self.migrate(device, .newTable)
        try await device.sync()
        device.gateway.storeRows(of: "chats") {
            $0.replacing(#""title":null"#, with: #""title":"stored""#)
        }
        try device.execute("INSERT INTO chats (id) VALUES (?)", [key(4)])
        for _ in 1...2 { try await device.sync() }
        #expect(try device.lines(Self.titles) == ["local", "local", "local", "stored"])
    }

    @Test("after the database is given to another user nothing is kept")
    func signedOut() async throws {
        let device = try await Self.device()
        try await Self.migrate(device, .newTable)
        try await device.sync()
        #expect(try device.count("SELECT local_until FROM _sync_state") > 0)
        try await device.engine.signOut()
        #expect(try device.count("SELECT local_until FROM _sync_state") == 0)
    }

    @Test("a local migration runs in a database that an older version of the library has made")
    func olderVersion() async throws {
        let device = try await Self.device()
        try device.execute(
            """
            DROP VIEW sync_row_status;
            ALTER TABLE _sync_state DROP COLUMN reached;
            ALTER TABLE _sync_state DROP COLUMN local_until;
            ALTER TABLE _sync_held DROP COLUMN is_stored;
            PRAGMA legacy_alter_table = ON;
            CREATE TABLE older (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
                columns TEXT NOT NULL DEFAULT '', is_absent INTEGER NOT NULL DEFAULT 0);
            INSERT INTO older SELECT id, name, columns, is_absent FROM _sync_tables;
            DROP TABLE _sync_tables;
            ALTER TABLE older RENAME TO _sync_tables;
            PRAGMA legacy_alter_table = OFF;
            UPDATE _sync_state SET format = 5;
            """)
        try device.reopen(tables: Self.tables + [SyncTable("labels")]) { db in
            try SyncEngine.withLocalMigration(in: db) {
                try db.execute(
                    sql: """
                        CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL);
                        INSERT INTO n SELECT id, 'local' FROM chats;
                        DROP TABLE chats;
                        ALTER TABLE n RENAME TO chats;
                        """)
            }
        }
        try await device.sync()
        #expect(try device.lines(Self.titles) == ["local", "local", "local"])
        #expect(device.gateway.logCount() == 4)
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
    }
}
