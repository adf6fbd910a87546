import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What a repair of the library's own tables keeps.
@Suite(.timeLimit(.minutes(5))) struct RepairTests {
    static let policies: [ConflictPolicy] = [.clientWins, .serverWins, .fieldwise()]

    static func tables(_ policy: ConflictPolicy) -> [SyncTable] {
        ["users", "posts"].map { SyncTable($0, conflictPolicy: policy) }
    }

    /// A device with unsent edits.
    private func edited(
        _ gateway: InMemoryGateway, _ tables: [SyncTable]
    ) async throws -> DatabaseQueue {
        UnsentEdits.prepare(gateway)
        let database = try DatabaseQueue()
        try await database.write { try $0.execute(sql: postsAndUsers) }
        let engine = try FuzzedDevice.engine(database, gateway, tables)
        try await engine.syncChanges()
        try await UnsentEdits.make(database, engine)
        return database
    }

    /// Repairs the tables and synchronizes.
    ///
    /// - Returns: what was damaged.
    @discardableResult
    private func repair(
        _ database: DatabaseQueue, _ gateway: InMemoryGateway, _ tables: [SyncTable]
    ) async throws -> [String] {
        let found = try SyncEngine.repairMetadata(in: database, user: "user")
        let engine = try FuzzedDevice.engine(database, gateway, tables)
        for _ in 1...2 { try await engine.syncChanges() }
        #expect(engine.status.pendingCount == 0)
        return found
    }

    @Test(
        "A repair undoes no deletion that was not sent, whatever the policy",
        arguments: [
            "DROP TABLE _sync_absent", "DROP TABLE _sync_rows",
            "UPDATE _sync_rows SET version = 0.5", "DELETE FROM _sync_state",
            "UPDATE _sync_pending SET seq = -seq", "UPDATE _sync_log SET tbl = -1",
            "UPDATE _sync_pending SET local = 5 WHERE op = 'DELETE'",
            "UPDATE _sync_extra SET payload = x'05'",
        ], policies.indices)
    func deletions(damage: String, policy: Int) async throws {
        let gateway = InMemoryGateway()
        let tables = Self.tables(Self.policies[policy])
        let database = try await edited(gateway, tables)
        try await database.write {
            try $0.execute(
                sql: "INSERT INTO _sync_extra (tbl, key, payload) VALUES (1, 'x', '{}'); \(damage)")
        }
        let found = try await repair(database, gateway, tables)
        #expect(!found.isEmpty)
        #expect(UnsentEdits.missing(gateway) == [], "\(found)")
    }

    @Test(
        "Columns that only the server has go back with edits though what was kept of them is gone",
        arguments: [
            "DROP TABLE _sync_extra", "DROP TABLE _sync_extra; DROP TABLE _sync_pending",
            "DROP TABLE _sync_extra; DROP TABLE _sync_log",
        ], policies.indices)
    func serverColumns(damage: String, policy: Int) async throws {
        let gateway = InMemoryGateway()
        for number in 1...3 {
            gateway.write(
                "users", key(number), #"{"id":"\#(key(number))","name":"n","later":"there"}"#)
        }
        let tables = Self.tables(Self.policies[policy])
        let database = try await edited(gateway, tables)
        let update = "UPDATE users SET name = 'after' WHERE id = ?"
        try await database.write { try $0.execute(sql: update, arguments: [key(1)]) }
        _ = try await FuzzedDevice.engine(database, gateway, tables).pendingChanges()
        try await database.write { try $0.execute(sql: update, arguments: [key(2)]) }
        try await database.write { try $0.execute(sql: damage) }
        try await repair(database, gateway, tables)
        try await database.write { try $0.execute(sql: update, arguments: [key(3)]) }
        try await FuzzedDevice.engine(database, gateway, tables).syncChanges()
        for number in 1...3 {
            let row = gateway.rows("users")[key(number)]
            #expect(row?.contains("after") == true && row?.contains("there") == true, "\(number)")
        }
        let lost = UnsentEdits.missing(gateway)
        #expect(lost.allSatisfy { $0.contains("delete") }, "\(lost)")
    }

    @Test("An edit that was captured between a repair and the next start is sent")
    func betweenRepairAndStart() async throws {
        let gateway = InMemoryGateway()
        let tables = Self.tables(.serverWins)
        let database = try await edited(gateway, tables)
        try await database.write { try $0.execute(sql: "DROP TABLE _sync_absent") }
        try SyncEngine.repairMetadata(in: database)
        gateway.write("users", key(1), PullTests.user(1))
        try await database.write { db in
            try db.execute(sql: "DELETE FROM users WHERE name = 'after'")
        }
        let engine = try FuzzedDevice.engine(database, gateway, tables)
        try await engine.syncChanges()
        #expect(gateway.rows("users").keys.sorted() == [key(1)])
    }

    @Test(
        "Tables keep their numbers though their list is damaged and comes in another order",
        arguments: [
            "DROP TABLE _sync_tables", "DELETE FROM _sync_tables",
            "DELETE FROM _sync_tables WHERE name = 'users'",
            "UPDATE _sync_tables SET name = CAST(name AS BLOB)", "UPDATE _sync_tables SET id = -id",
            "UPDATE _sync_tables SET id = id + 7", "UPDATE _sync_tables SET id = 3 WHERE id = 1",
        ], policies.indices)
    func numbers(damage: String, policy: Int) async throws {
        let gateway = InMemoryGateway()
        let tables = Self.tables(Self.policies[policy])
        let database = try await edited(gateway, tables)
        try await database.write { try $0.execute(sql: damage) }
        #expect {
            _ = try FuzzedDevice.engine(database, gateway, tables.reversed())
        } throws: { error in
            guard case SyncError.damagedMetadata = error else { return false }
            return true
        }
        let found = try await repair(database, gateway, tables.reversed())
        #expect(found.allSatisfy { $0.hasPrefix("_sync_tables") } && !found.isEmpty)
        #expect(UnsentEdits.missing(gateway) == [], "\(found)")
        let numbers = try await database.read {
            try String.fetchAll($0, sql: "SELECT id || name FROM _sync_tables ORDER BY id")
        }
        #expect(numbers == ["1users", "2posts"])
    }

    @Test("A table without triggers and without its entry never gets the number of another one")
    func newNumber() async throws {
        let gateway = InMemoryGateway()
        let tables = Self.tables(.clientWins)
        let database = try await edited(gateway, tables)
        try await database.write { db in
            try db.execute(
                sql: """
                    DELETE FROM _sync_tables;
                    CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, user_id TEXT, title TEXT);
                    INSERT INTO n SELECT id, user_id, title FROM posts;
                    DROP TABLE posts; ALTER TABLE n RENAME TO posts;
                    """)
        }
        try await repair(database, gateway, tables.reversed())
        let lost = UnsentEdits.missing(gateway)
        #expect(lost == ["folded delete of posts", "unfolded delete of posts"])
        #expect(gateway.rows("users").keys.allSatisfy { $0 < key(40) })
    }

    /// How the server loses changes, and whether the device is reading its log again for that when
    /// its tables are damaged.
    enum Loss: CaseIterable {
        case restored, restoredAndNoticed, forked, forkedAndNoticed

        var isFork: Bool { self == .forked || self == .forkedAndNoticed }
        var isNoticed: Bool { self == .restoredAndNoticed || self == .forkedAndNoticed }
    }

    static let stateDamage =
        ["reread", "epoch", "history_seq", "history_tag"].flatMap { column in
            ["x'00ff'", "0.5", "'strange'"].map { "UPDATE _sync_state SET \(column) = \($0)" }
        } + [
            "DELETE FROM _sync_state", "DROP TABLE _sync_state",
            "UPDATE _sync_state SET reread = NULL, cursor = -1",
            "ALTER TABLE _sync_state DROP COLUMN reread",
            "UPDATE _sync_tables SET is_absent = 5",
        ]

    @Test(
        "What the server has lost is sent again though the damage hides that it has",
        arguments: stateDamage, Loss.allCases)
    func lostByServer(damage: String, loss: Loss) async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        for number in 1...7 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
        try await device.sync()
        // An unsent deletion and an edit of rows that the server keeps are not lost either.
        try device.execute("DELETE FROM users WHERE id = ?", [key(1)])
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(2)])
        if loss.isFork {
            gateway.fork(atSequence: 5)
        } else {
            gateway.restore(toSequence: 5)
        }
        if loss.isNoticed {
            gateway.next(.download, .holdAnswer {})
            gateway.next(.download, .holdAnswer {})
            gateway.next(.download, .loseRequest)
            await #expect(throws: SyncError.self) { try await device.sync() }
        }
        try device.execute(damage)
        let found = try SyncEngine.repairMetadata(in: device.database, user: "user")
        #expect(!found.isEmpty)
        try device.reopen()
        try await device.sync()
        #expect(gateway.rows("users").keys.sorted() == (2...7).map { key($0) })
        #expect(gateway.rows("users")[key(2)]?.contains(#""b""#) == true)
        #expect(try device.count("SELECT count(*) FROM users") == 6)
        #expect(try device.count("SELECT count(*) FROM _sync_unseen") == 0)
    }

    @Test("A repair after which the server proves its history removes what was deleted there")
    func deletedThere() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        for number in 1...3 { gateway.write("users", key(number), PullTests.user(number)) }
        try await device.sync()
        gateway.write("users", key(1), nil)
        gateway.write("users", key(4), PullTests.user(4))
        gateway.write("users", key(5), PullTests.user(5))
        gateway.compact()
        try device.execute("UPDATE _sync_state SET cursor = -1")
        try SyncEngine.repairMetadata(in: device.database)
        try device.reopen()
        try await device.sync()
        #expect(gateway.rows("users").count == 4)
        #expect(
            try device.lines("SELECT id FROM users ORDER BY id") == [2, 3, 4, 5].map { key($0) })
    }

    @Test("Without any of the library's tables every row counts as new")
    func nothingLeft() async throws {
        let gateway = InMemoryGateway()
        let tables = Self.tables(.clientWins)
        let database = try await edited(gateway, tables)
        try await database.write { db in
            for table in MetadataFuzzTests.tables {
                try db.execute(sql: "DROP TABLE \(table)")
            }
        }
        try await repair(database, gateway, tables)
        let lost = UnsentEdits.missing(gateway)
        #expect(lost.allSatisfy { $0.contains("delete") }, "\(lost)")
    }
}
