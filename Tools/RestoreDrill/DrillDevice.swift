import Foundation
import GRDB
import OverSQLite
import SeededRandom

/// An app's device during a drill. It writes rows of its own, all devices sync all of them, and it
/// remembers what the server has acknowledged.
///
/// A row's name says who wrote it and for the how many-th time: `phone 17 3`. Only its owner edits
/// a row, so that the rows that must be there at the end are known, whatever the order in which
/// devices sync.
actor DrillDevice {
    /// What its owner knows of a row.
    struct Row {
        /// How often it was written; its deletion counts too.
        var writes: Int
        var isDeleted = false
        /// The last write that the server has acknowledged; 0 if none.
        var acknowledged = 0
    }

    /// Longest time that a gateway whose database is being replaced may say that it is busy.
    private static let patience: Duration = .seconds(90)
    private static let pause: Duration = .milliseconds(200)
    /// Rows written between two syncs.
    private static let burst = 1...6

    nonisolated let name: String
    nonisolated let database: DatabasePool
    nonisolated let engine: SyncEngine
    private(set) var rows: [String: Row] = [:]
    /// How many writes the server has acknowledged in all.
    private(set) var acknowledgements = 0
    private var random: SeededGenerator
    /// From its start on; read by one round after the other.
    private let events: AsyncStream<SyncEvent>

    init(_ name: String, _ database: DatabasePool, _ engine: SyncEngine, seed: UInt64) {
        self.name = name
        self.database = database
        self.engine = engine
        random = SeededGenerator(seed: seed)
        events = engine.events
    }

    /// Writes some rows, syncs, and remembers what was acknowledged by that.
    func work() async throws {
        for _ in 0..<Int.random(in: Self.burst, using: &random) { try await write() }
        try await sync()
    }

    /// Writes without syncing, as offline.
    ///
    /// Deletes nothing: where PostgreSQL has lost a row that other devices still have, they send it
    /// again, and a deletion that this device had not yet sent is undone. That keeps data, and is
    /// documented.
    func workOffline() async throws { try await write(deletes: false) }

    /// Inserts a row, or edits or deletes one of its own.
    private func write(deletes: Bool = true) async throws {
        let living = rows.filter { !$0.value.isDeleted }.keys.sorted()
        let choice = Int.random(in: 0..<10, using: &random)
        guard choice < 6, let key = living.randomElement(using: &random) else {
            let id = UUID.random(using: &random).uuidString.lowercased()
            rows[id] = Row(writes: 1)
            let text = text(id, 1)
            return try await database.write { db in
                try db.execute(
                    sql: "INSERT INTO users (id, name) VALUES (?, ?)", arguments: [id, text])
            }
        }
        rows[key]?.writes += 1
        if choice == 0, deletes {
            rows[key]?.isDeleted = true
            return try await database.write { db in
                try db.execute(sql: "DELETE FROM users WHERE id = ?", arguments: [key])
            }
        }
        let text = text(key, rows[key]?.writes ?? 0)
        try await database.write { db in
            try db.execute(sql: "UPDATE users SET name = ? WHERE id = ?", arguments: [text, key])
        }
    }

    private func text(_ id: String, _ write: Int) -> String { "\(name) \(id) \(write)" }

    /// The rows that the server must have: name by key.
    var acknowledgedRows: [String: String] {
        var result: [String: String] = [:]
        for (id, row) in rows where !row.isDeleted { result[id] = text(id, row.acknowledged) }
        return result
    }

    /// The keys of its deleted rows.
    var deletedRows: [String] { rows.filter(\.value.isDeleted).map(\.key) }

    /// Rereads for a fork begin at least ten minutes apart; for this device that time has passed.
    func letTimePass() async throws {
        try await database.write { try $0.execute(sql: "UPDATE _sync_state SET forked_at = 0") }
    }

    /// The next report of a reread. Waits for it.
    func nextReread() async -> RereadReport? {
        for await event in events {
            if case .reread(let report) = event { return report }
        }
        return nil
    }

    /// Sends everything and downloads everything, as soon as the gateway takes it.
    func sync() async throws {
        let end = ContinuousClock.now + Self.patience
        while true {
            do {
                try await engine.syncChanges()
                break
            } catch SyncError.busy where .now < end {
                try await Task.sleep(for: Self.pause)
            }
        }
        for (id, row) in rows {
            acknowledgements += row.writes - row.acknowledged
            rows[id]?.acknowledged = row.writes
        }
    }

    /// Rows as this device shows them: name by key.
    nonisolated func shown() async throws -> [String: String] {
        try await database.read { db in
            let rows = try GRDB.Row.fetchAll(db, sql: "SELECT id, name FROM users")
            return Dictionary(uniqueKeysWithValues: rows.map { ($0["id"], $0["name"]) })
        }
    }
}

extension UUID {
    static func random(using generator: inout SeededGenerator) -> UUID {
        withUnsafeBytes(of: (generator.next(), generator.next())) {
            UUID(uuid: $0.loadUnaligned(as: uuid_t.self))
        }
    }
}
