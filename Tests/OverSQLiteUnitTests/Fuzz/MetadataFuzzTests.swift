import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The library's own tables hold anything: the app goes on, hears what is wrong, and gets every
/// edit to the server after a repair.
@Suite(.timeLimit(.minutes(10))) struct MetadataFuzzTests {
    static let tables = [
        "_sync_state", "_sync_tables", "_sync_log", "_sync_absent", "_sync_rows", "_sync_pending",
        "_sync_sent", "_sync_held", "_sync_unseen", "_sync_lost", "_sync_conflicts", "_sync_extra",
        "_sync_applying",
    ]

    /// As SQL.
    static let strange = [
        "NULL", "'strange'", "''", "0.5", "x'00ff'", "-1", "9007199254740993",
        "9223372036854775807", "-9223372036854775808", "1e300",
    ]

    /// A database with rows in all the library's tables, and edits that were not sent.
    private func database(_ gateway: InMemoryGateway) async throws -> DatabaseQueue {
        for number in 1...3 { gateway.write("users", key(number), PullTests.user(number)) }
        gateway.write("users", key(4), #"{"id":"\#(key(4))","name":"n","unknown":"u"}"#)
        gateway.write("posts", key(5), #"{"id":"\#(key(5))","user_id":"\#(key(6))"}"#)
        let device = try FuzzedDevice(gateway, gateway)
        try await device.engine.syncChanges()
        // Sent, and the answer lost.
        try device.execute("UPDATE users SET name = 'sent' WHERE id = ?", [key(3)])
        gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.engine.sendChanges() }
        try device.execute("UPDATE users SET name = 'edited' WHERE id = ?", [key(1)])
        _ = try await device.engine.pendingChanges()
        try device.edit()
        try device.execute(
            """
            INSERT INTO _sync_absent (tbl, key, kind) VALUES (99, 'k', 0);
            INSERT INTO _sync_unseen (tbl, key, seen, gone) SELECT 1, '\(key(4))', 1, 0;
            INSERT INTO _sync_lost (tbl, key, version, until) SELECT 1, '\(key(1))', 1, 0;
            INSERT INTO _sync_conflicts (tbl, key, outcome, columns, lost)
              VALUES ('users', '\(key(2))', 'serverWins', 'name', '{"name":"''x''"}');
            """)
        return device.database
    }

    @Test("Tables of a newer version are left as they are")
    func newer() async throws {
        let database = try await database(InMemoryGateway())
        try await database.write { try $0.execute(sql: "UPDATE _sync_state SET format = 1000") }
        let before = try await database.read { try String.fetchAll($0, sql: Self.everything) }
        #expect(throws: SyncError.newerMetadata(format: 1000)) {
            try SyncEngine.repairMetadata(in: database)
        }
        let after = try await database.read { try String.fetchAll($0, sql: Self.everything) }
        #expect(after == before)
    }

    private static let everything = "SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name"

    /// Everything an app asks of an engine.
    private func use(_ database: DatabaseQueue, _ gateway: InMemoryGateway) async throws {
        let engine = try FuzzedDevice.engine(database, gateway)
        var first: (any Error)?
        func attempt(_ body: () async throws -> Void) async {
            do { try await body() } catch { first = first ?? error }
        }
        await attempt { _ = try await engine.deviceID }
        await attempt { _ = try await engine.pendingChanges() }
        await attempt { _ = try await engine.rejectedChanges }
        await attempt { _ = try await engine.heldRows }
        await attempt { _ = try await engine.settledConflicts }
        await attempt { try await engine.syncChanges() }
        await attempt { _ = try await engine.verify() }
        await attempt {
            try await engine.start()
            await engine.stop()
        }
        if let first { throw first }
    }

    /// What is wrong after the damage and a repair; nil: nothing.
    private func meet(_ damage: String, edits: Bool = true) async throws -> String? {
        let gateway = InMemoryGateway()
        let database = try await database(gateway)
        do { try await database.write { try $0.execute(sql: damage) } } catch is DatabaseError {
            // SQLite does not let the column hold it.
            return nil
        }
        do { try await use(database, gateway) } catch is SyncError {} catch is DatabaseError {
        } catch {
            return "threw \(type(of: error)): \(error)"
        }
        let rows = try await database.read { db in
            try String.fetchAll(
                db, sql: "SELECT name FROM users WHERE id IN (?, ?) ORDER BY id",
                arguments: [key(1), FuzzedDevice.edited])
        }
        guard rows == ["edited", FuzzedDevice.editedName] else { return "changed \(rows)" }
        guard edits else { return nil }
        let found = try SyncEngine.repairMetadata(in: database, user: "user")
        do { for _ in 1...2 { try await use(database, gateway) } } catch {
            return "is not repaired (\(found)): \(error)"
        }
        let there = gateway.rows("users")
        guard there[key(1)]?.contains("edited") == true else { return "lost an edit (\(found))" }
        guard there[FuzzedDevice.edited]?.contains(FuzzedDevice.editedName) == true else {
            return "lost a new row (\(found))"
        }
        guard try SyncEngine.repairMetadata(in: database) == [] else { return "is damaged again" }
        return nil
    }

    /// SQL that makes a table anew without what keeps a column from holding any value.
    private func loosened(_ table: String, _ database: DatabaseQueue) throws -> String {
        let found = try database.read { db -> String? in
            try String.fetchOne(
                db, sql: "SELECT sql FROM sqlite_master WHERE name = ?", arguments: [table])
        }
        let sql = try #require(found)
        let loose = sql.replacing(" NOT NULL", with: "").replacingOccurrences(
            of: #"CHECK \([^()]*(\([^()]*\))?[^()]*\)"#, with: "", options: .regularExpression)
        return """
            CREATE TEMP TABLE kept AS SELECT * FROM \(table); DROP TABLE \(table); \(loose);
            INSERT INTO \(table) SELECT * FROM kept; DROP TABLE kept;
            """
    }

    private func columns(of table: String, _ database: DatabaseQueue) throws -> [ColumnInfo] {
        try database.read { db in try db.columns(in: table) }
    }

    @Test(
        "Any value in the library's tables ends in an error at most, and a repair sends the edits",
        arguments: tables)
    func values(table: String) async throws {
        let model = try await database(InMemoryGateway())
        let columns = try columns(of: table, model)
        let loosened = try loosened(table, model)
        for column in columns {
            for value in Self.strange {
                // Other text in the place of text is no damage that can be told, and SQLite makes
                // text of numbers there. Of a touch, a key of the app's may be any value.
                let isText =
                    column.type == "TEXT" && value != "NULL" && !value.hasPrefix("x'")
                    || ["_sync_log.key", "_sync_absent.key"].contains("\(table).\(column.name)")
                let change = "UPDATE OR IGNORE \(table) SET \"\(column.name)\" = \(value);"
                let flaw = try await meet(loosened + change, edits: !isText)
                if let flaw { Issue.record("\(table).\(column.name) = \(value) \(flaw)") }
            }
        }
    }

    @Test("So does a table that is gone, or lacks a column", arguments: tables)
    func structure(table: String) async throws {
        let model = try await database(InMemoryGateway())
        var drops: [String] = []
        for column in try columns(of: table, model) {
            drops.append("ALTER TABLE \(table) DROP COLUMN \"\(column.name)\"")
        }
        for damage in ["DROP TABLE \(table)", "DELETE FROM \(table)"] + drops {
            // Of an empty queue nobody can tell that it was not.
            let flaw = try await meet(damage, edits: damage != "DELETE FROM _sync_pending")
            if let flaw { Issue.record("\(damage) \(flaw)") }
        }
    }
}
