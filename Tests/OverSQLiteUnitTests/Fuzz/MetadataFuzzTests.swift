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
        "_sync_key_leases", "_sync_key_ranges", "_sync_applying",
    ]

    /// As SQL.
    static let strange = [
        "NULL", "'strange'", "''", "0.5", "x'00ff'", "-1", "9007199254740993",
        "9223372036854775807", "-9223372036854775808", "1e300",
    ]

    /// A database with rows in all the library's tables, and edits that were not sent.
    private func database(
        _ gateway: InMemoryGateway, _ tables: [SyncTable] = FuzzedDevice.tables
    ) async throws -> DatabaseQueue {
        for number in 1...3 { gateway.write("users", key(number), PullTests.user(number)) }
        gateway.write("users", key(4), #"{"id":"\#(key(4))","name":"n","unknown":"u"}"#)
        gateway.write("posts", key(5), #"{"id":"\#(key(5))","user_id":"\#(key(6))"}"#)
        UnsentEdits.prepare(gateway)
        let device = try FuzzedDevice(gateway, gateway, tables)
        try await device.engine.syncChanges()
        // Sent, and the answer lost.
        try device.execute("UPDATE users SET name = 'sent' WHERE id = ?", [key(3)])
        gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.engine.sendChanges() }
        try device.execute("UPDATE users SET name = 'edited' WHERE id = ?", [key(1)])
        try await UnsentEdits.make(device.database, device.engine)
        try device.edit()
        try device.execute(
            """
            INSERT INTO _sync_absent (tbl, key, kind) VALUES (99, 'k', 0);
            INSERT INTO _sync_unseen (tbl, key, seen, gone) SELECT 1, '\(key(4))', 1, 0;
            INSERT INTO _sync_lost (tbl, key, version, until) SELECT 1, '\(key(1))', 1, 0;
            INSERT INTO _sync_conflicts (tbl, key, outcome, columns, lost)
              VALUES ('users', '\(key(2))', 'serverWins', 'name', '{"name":"''x''"}');
            INSERT INTO _sync_key_leases (tbl, size, leased_at) VALUES (1, 20, 1.5);
            INSERT INTO _sync_key_ranges (tbl, next, step, remaining, source_id, epoch)
              VALUES (1, -5, 2, 10, 'd', 'e');
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
    private func use(
        _ database: DatabaseQueue, _ gateway: InMemoryGateway, _ tables: [SyncTable]
    ) async throws {
        let engine = try FuzzedDevice.engine(database, gateway, tables)
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
    ///
    /// - Parameters:
    ///   - edits: whether the repair must keep the edits.
    ///   - untold: prefixes of the names of edits that the damage leaves no trace of.
    private func meet(
        _ damage: String, _ policy: ConflictPolicy, edits: Bool = true, untold: [String] = []
    ) async throws -> String? {
        let gateway = InMemoryGateway()
        let tables = RepairTests.tables(policy)
        let database = try await database(gateway, tables)
        do { try await database.write { try $0.execute(sql: damage) } } catch is DatabaseError {
            // SQLite does not let the column hold it.
            return nil
        }
        do { try await use(database, gateway, tables) } catch is SyncError {} catch is DatabaseError
        {
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
        do { for _ in 1...2 { try await use(database, gateway, tables) } } catch {
            return "is not repaired (\(found)): \(error)"
        }
        let there = gateway.rows("users")
        guard there[key(1)]?.contains("edited") == true else { return "lost an edit (\(found))" }
        guard there[FuzzedDevice.edited]?.contains(FuzzedDevice.editedName) == true else {
            return "lost a new row (\(found))"
        }
        let missing = UnsentEdits.missing(gateway).filter { edit in
            !untold.contains { edit.hasPrefix($0) }
        }
        guard missing.isEmpty else { return "lost \(missing) (\(found))" }
        guard try SyncEngine.repairMetadata(in: database) == [] else { return "is damaged again" }
        return nil
    }

    /// SQL that rebuilds a table without what keeps a column from holding any value.
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

    /// Whether damage cannot be told: other text in the place of text, which SQLite also makes of
    /// numbers there. Of a touch, a key of the app's may be any value.
    private func isText(_ value: String, in column: ColumnInfo, of table: String) -> Bool {
        column.type == "TEXT" && value != "NULL" && !value.hasPrefix("x'")
            || ["_sync_log.key", "_sync_absent.key"].contains("\(table).\(column.name)")
    }

    @Test("So does damage to two tables at once, though a deletion may be lost")
    func pairs() async throws {
        let model = try await database(InMemoryGateway())
        var damages: [String] = []
        for table in Self.tables {
            let loosened = try loosened(table, model)
            if table != "_sync_pending" { damages.append("DELETE FROM \(table);") }
            for column in try columns(of: table, model) {
                damages += Self.strange.filter { !isText($0, in: column, of: table) }.map {
                    "\(loosened) UPDATE OR IGNORE \(table) SET \"\(column.name)\" = \($0);"
                }
            }
        }
        var tried = 0
        for (place, damage) in damages.enumerated() where place.isMultiple(of: 8) {
            // Another one far off, so that each table meets many others.
            let other = damages[(place * 37 + 101) % damages.count]
            guard try await isPossible(damage + other, model) else { continue }
            tried += 1
            let flaw = try await meet(
                damage + other, .clientWins, untold: ["folded delete", "unfolded delete"])
            if let flaw { Issue.record("\(damage)\n\(other)\n\(flaw)") }
        }
        #expect(tried > damages.count / 16)
    }

    /// Whether SQLite lets the columns hold it.
    private func isPossible(_ damage: String, _ database: DatabaseQueue) async throws -> Bool {
        do {
            try await database.write { db in
                try db.inSavepoint {
                    try db.execute(sql: damage)
                    return .rollback
                }
            }
            return true
        } catch is DatabaseError { return false }
    }

    @Test(
        "Any value in the library's tables ends in an error at most, and a repair sends the edits",
        arguments: tables)
    func values(table: String) async throws {
        let model = try await database(InMemoryGateway())
        let columns = try columns(of: table, model)
        let loosened = try loosened(table, model)
        for (place, column) in columns.enumerated() {
            for (number, value) in Self.strange.enumerated() {
                let isText = isText(value, in: column, of: table)
                let change = "UPDATE OR IGNORE \(table) SET \"\(column.name)\" = \(value);"
                let policies = isText ? [.clientWins] : RepairTests.policies
                let policy = policies[(place + number) % policies.count]
                let flaw = try await meet(
                    loosened + change, policy, edits: !isText,
                    untold: "\(table).\(column.name)" == "_sync_pending.key"
                        ? ["folded delete"] : [])
                if let flaw {
                    Issue.record("\(table).\(column.name) = \(value) under \(policy) \(flaw)")
                }
            }
        }
    }

    /// The edits that some damage leaves no trace of except a missing row. A row that the
    /// disk has lost is missing, too.
    private static let untold = [
        "DROP TABLE _sync_log": "unfolded delete", "DELETE FROM _sync_log": "unfolded delete",
        "DROP TABLE _sync_pending": "folded delete", "DELETE FROM _sync_rows": "unfolded delete",
    ]

    /// SQL that rebuilds a table with each row twice.
    private func doubled(_ table: String, _ database: DatabaseQueue) throws -> String {
        let loose = try loosened(table, database)
            .replacing(" PRIMARY KEY", with: "").replacing(" WITHOUT ROWID", with: "")
            .replacingOccurrences(
                of: #",\s*(UNIQUE|PRIMARY KEY)? \([^()]*\)"#, with: "", options: .regularExpression
            ).replacing(" UNIQUE", with: "")
        return loose.replacing(
            "DROP TABLE kept;", with: "INSERT INTO \(table) SELECT * FROM kept; DROP TABLE kept;")
    }

    @Test(
        "So does a table that is gone, lacks a column, or has each row twice", arguments: tables)
    func structure(table: String) async throws {
        let model = try await database(InMemoryGateway())
        var drops: [String] = []
        for column in try columns(of: table, model) {
            drops.append("ALTER TABLE \(table) DROP COLUMN \"\(column.name)\"")
        }
        let doubled = try doubled(table, model)
        let count = "SELECT count(*) FROM \(table)"
        let (before, after) = try await model.write { db in
            let before = try Int.fetchOne(db, sql: count)
            try db.execute(sql: doubled)
            return (before ?? 0, try Int.fetchOne(db, sql: count) ?? 0)
        }
        #expect(after == 2 * before)
        let damages = ["DROP TABLE \(table)", "DELETE FROM \(table)", doubled] + drops
        for (number, damage) in damages.enumerated() {
            let policies = RepairTests.policies
            let isColumn = drops.contains(damage)
            for policy in isColumn ? [policies[number % policies.count]] : policies {
                // Of an empty queue nobody can tell that it was not.
                let flaw = try await meet(
                    damage, policy, edits: damage != "DELETE FROM _sync_pending",
                    untold: Self.untold[damage].map { [$0] } ?? [])
                if let flaw { Issue.record("\(damage) under \(policy) \(flaw)") }
            }
        }
    }
}
