import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What the server has stored of the device's own rows, and this database refuses: it waits, as
/// every row of the server does.
@Suite(.timeLimit(.minutes(1))) struct StoredHeldTests {
    private static let schema = """
        CREATE TABLE people (id TEXT PRIMARY KEY NOT NULL, name TEXT);
        CREATE TABLE labels (id TEXT PRIMARY KEY NOT NULL);
        CREATE TABLE notes (
          id TEXT PRIMARY KEY NOT NULL, slug TEXT UNIQUE, body TEXT,
          owner TEXT REFERENCES people (id));
        """
    private static let tables = [SyncTable("people"), SyncTable("notes")]

    private static func row(
        _ number: Int, slug: String?, body: String, owner: String? = nil
    ) -> String {
        func json(_ text: String?) -> String { text.map { "\"\($0)\"" } ?? "null" }
        return #"{"id":"\#(key(number))","slug":\#(json(slug)),"body":"\#(body)","#
            + #""owner":\#(json(owner))}"#
    }

    /// Two notes of the device's own, to which the server gives one slug: it does not have the
    /// device's index.
    private static func clashing() async throws -> Device {
        let device = try Device(schema: schema, tables: tables)
        device.gateway.storeRows(of: "notes") {
            $0.replacing(#""slug":null"#, with: #""slug":"new""#)
        }
        for number in 1...2 {
            try device.execute("INSERT INTO notes (id, body) VALUES (?, 'a')", [key(number)])
        }
        for _ in 1...2 { try await device.sync() }
        return device
    }

    private static let notes = "SELECT slug, body FROM notes ORDER BY id"

    /// The second note is held until the first has another slug.
    private static func expectHeld(_ device: Device, body: String = "a") async throws {
        #expect(try device.lines(notes) == ["new|a", "-|\(body)"])
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == [key(2)])
        #expect(held.first?.cause == .constraint)
        #expect(held.first?.reason.contains("slug") == true)
        #expect(!device.engine.status.isSynced)
        #expect(try device.queue().isEmpty)
        let states = try device.lines(
            "SELECT state FROM sync_row_status WHERE table_name = 'notes' ORDER BY key")
        #expect(states == ["synced", "held"])

        device.gateway.write("notes", key(1), row(1, slug: "first", body: "a"))
        try await device.sync()
        #expect(try device.lines(notes) == ["first|a", "new|\(body)"])
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(device.engine.status.isSynced)
    }

    @Test("a stored row that a constraint of this database refuses is held until it is taken")
    func constraint() async throws {
        let device = try await Self.clashing()
        let sent = device.gateway.uploads.count
        try await Self.expectHeld(device)
        #expect(device.gateway.uploads.count == sent)
    }

    @Test("so it is after the log was read again from its start, and after a restart")
    func rereadMeanwhile() async throws {
        let device = try await Self.clashing()
        try device.reopen(tables: Self.tables + [SyncTable("labels")])
        try await device.sync()
        try await Self.expectHeld(device)
    }

    @Test("so it is after a reread because the server has removed old changes")
    func pruned() async throws {
        let device = try await Self.clashing()
        let catalog = device.engine.session.catalog
        try await device.database.write { db in
            try SyncEngine.withLocalMigration(in: db) {}
            try Reread(db: db, catalog: catalog, reason: .historyPruned).begin(epoch: nil)
        }
        try await device.sync()
        try await Self.expectHeld(device)
    }

    @Test("an edit of such a row is sent, and what is stored of that is held in its place")
    func edited() async throws {
        let device = try await Self.clashing()
        try device.execute("UPDATE notes SET body = 'b' WHERE id = ?", [key(2)])
        for _ in 1...2 { try await device.sync() }
        #expect(device.gateway.version("notes", key(2)) == 2)
        try await Self.expectHeld(device, body: "b")
    }

    @Test(
        "such a row that is deleted here, or on the server, is no longer held",
        arguments: [true, false])
    func deleted(isHere: Bool) async throws {
        let device = try await Self.clashing()
        if isHere {
            try device.execute("DELETE FROM notes WHERE id = ?", [key(2)])
        } else {
            device.gateway.write("notes", key(2), nil)
        }
        for _ in 1...2 { try await device.sync() }
        #expect(try device.lines(Self.notes) == ["new|a"])
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(device.gateway.rows("notes").count == 1)
    }

    @Test("a stored row whose parent is missing is held until the parent comes")
    func missingParent() async throws {
        let device = try Device(schema: Self.schema, tables: Self.tables)
        device.gateway.storeRows(of: "notes") {
            $0.replacing(#""owner":null"#, with: #""owner":"\#(key(50))""#)
        }
        try device.execute("INSERT INTO notes (id, body) VALUES (?, 'a')", [key(1)])
        for _ in 1...3 { try await device.sync() }
        let owner = "SELECT owner FROM notes"
        #expect(try device.lines(owner) == ["-"])
        let held = try await device.engine.heldRows
        #expect(held.map(\.cause) == [.missingParent])
        #expect(held.first?.missing == HeldRow.Parent(table: "people", key: key(50)))
        #expect(try device.queue().isEmpty)
        device.gateway.write("people", key(50), #"{"id":"\#(key(50))","name":"Ada"}"#)
        try await device.sync()
        #expect(try device.lines(owner) == [key(50)])
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(device.gateway.version("notes", key(1)) == 1)
    }

    @Test("two own rows whose values the server has exchanged are written together")
    func exchanged() async throws {
        let device = try Device(schema: Self.schema, tables: Self.tables)
        device.gateway.storeRows(of: "notes") { payload in
            payload.replacing(#""slug":"x""#, with: #""slug":"-""#)
                .replacing(#""slug":"y""#, with: #""slug":"x""#)
                .replacing(#""slug":"-""#, with: #""slug":"y""#)
        }
        for (number, slug) in [(1, "x"), (2, "y")] {
            try device.execute(
                "INSERT INTO notes (id, slug, body) VALUES (?, ?, 'a')", [key(number), slug])
        }
        for _ in 1...2 { try await device.sync() }
        #expect(try device.lines(Self.notes) == ["y|a", "x|a"])
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(try device.queue().isEmpty)
    }

    @Test("a newer version that is held stays so when the device's own is read again")
    func newerVersion() async throws {
        let device = try Device(schema: Self.schema, tables: Self.tables)
        for number in 1...2 {
            try device.execute(
                "INSERT INTO notes (id, slug, body) VALUES (?, ?, 'a')", [key(number), number])
        }
        for _ in 1...2 { try await device.sync() }
        device.gateway.write("notes", key(2), Self.row(2, slug: "1", body: "theirs"))
        try await device.sync()
        #expect(try await device.engine.heldRows.map(\.key) == [key(2)])
        try device.reopen(tables: Self.tables + [SyncTable("labels")])
        try await device.sync()
        #expect(try await device.engine.heldRows.map(\.key) == [key(2)])
        device.gateway.write("notes", key(1), Self.row(1, slug: "3", body: "a"))
        try await device.sync()
        #expect(try device.lines(Self.notes) == ["3|a", "1|theirs"])
        #expect(try await device.engine.heldRows.isEmpty)
    }
}
