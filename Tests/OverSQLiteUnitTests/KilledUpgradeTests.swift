import Foundation
import GRDB
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// A process that is killed while it brings the library's own tables to a new format.
@Suite(.timeLimit(.minutes(1))) struct KilledUpgradeTests {
    /// What each format has added, as statements that take it away again.
    private static let additions: [(format: Int, removal: String)] = [
        (
            10,
            """
            ALTER TABLE _sync_state DROP COLUMN readable;
            ALTER TABLE _sync_state DROP COLUMN resume_at;
            ALTER TABLE _sync_tables DROP COLUMN access;
            """
        ),
        (
            9,
            """
            ALTER TABLE _sync_rows DROP COLUMN term; ALTER TABLE _sync_held DROP COLUMN term;
            ALTER TABLE _sync_state DROP COLUMN compared_at;
            """
        ),
        (
            8,
            """
            ALTER TABLE _sync_state DROP COLUMN history_seq;
            ALTER TABLE _sync_state DROP COLUMN history_tag;
            ALTER TABLE _sync_state DROP COLUMN forked_at; DROP TABLE _sync_lost;
            """
        ),
        (
            7,
            """
            ALTER TABLE _sync_held DROP COLUMN is_stored;
            ALTER TABLE _sync_state DROP COLUMN local_until;
            """
        ),
        (
            6,
            """
            CREATE TABLE old AS SELECT id, name, columns, is_absent FROM _sync_tables;
            DROP TABLE _sync_tables;
            CREATE TABLE _sync_tables (
              id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
              columns TEXT NOT NULL DEFAULT '', is_absent INTEGER NOT NULL DEFAULT 0);
            INSERT INTO _sync_tables SELECT * FROM old;
            DROP TABLE old;
            ALTER TABLE _sync_state DROP COLUMN reached;
            """
        ),
    ]

    /// After each run of this many statements the files are kept.
    private static let stride = 9

    /// The files of a database as they are at a moment, copied by another process: closing one of
    /// them in this process would release its locks.
    private static func copyFiles(of path: String, to copy: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c", #"for s in "" -wal -journal; do [ ! -e "$0$s" ] || cp "$0$s" "$1$s"; done"#,
            path, copy,
        ]
        try process.run()
        process.waitUntilExit()
    }

    private static func remove(_ path: String) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            try? FileManager.default.removeItem(atPath: path + suffix)
        }
    }

    /// What the library's tables hold and how they are made.
    private static func content(_ database: some DatabaseReader) throws -> [String] {
        try database.read { db in
            let objects = try Row.fetchAll(
                db,
                sql: """
                    SELECT type, name, sql FROM sqlite_master
                    WHERE name GLOB '_sync_*' OR tbl_name GLOB '_sync_*' ORDER BY name
                    """)
            var lines = objects.map { "\($0["type"] as String) \($0["name"] as String)" }
            let format = try Int.fetchOne(db, sql: "SELECT format FROM _sync_state") ?? 0
            lines.append("_sync_state: format \(format)")
            for row in objects where row["type"] == "table" {
                let name: String = row["name"]
                let columns = try db.columns(in: name).map(\.name).sorted()
                    .filter { !["file", "compared_at"].contains($0) }
                lines.append("\(name): \(columns)")
                let list = columns.map { "quote(\"\($0)\")" }.joined(separator: " || ' ' || ")
                lines += try String.fetchAll(db, sql: "SELECT \(list) FROM \(name) ORDER BY 1")
            }
            return lines
        }
    }

    private static func engine(_ database: any DatabaseWriter, of device: Device) throws {
        _ = try SyncEngine(
            for: database, tables: device.tables,
            configuration: device.engine.session.configuration,
            credentials: { InMemoryGateway.token(user: "user", device: "one") })
    }

    @Test(
        "Wherever it dies on the way from an older format, the next start comes to the same end",
        arguments: additions.indices)
    func everywhere(_ index: Int) async throws {
        let journal = index % 2 == 0 ? "wal" : "delete"
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'sent')")
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(2))', 'pending')")
        try device.execute("UPDATE users SET name = 'edited' WHERE id = '\(key(1))'")
        let removed = Self.additions[...index]
        let old = try #require(removed.last?.format) - 1
        try device.execute("DROP VIEW sync_row_status; UPDATE _sync_state SET file = NULL")
        for addition in removed { try device.execute(addition.removal) }
        try device.execute("UPDATE _sync_state SET format = \(old)")
        let start = try device.copyOfDatabase()
        defer { Self.remove(start) }

        // States in which the process can die.
        let states = Mutex<[String]>([])
        let statements = Atomic(0)
        defer { for state in states.withLock({ $0 }) { Self.remove(state) } }
        var configuration = Configuration()
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA journal_mode = \(journal); PRAGMA cache_size = 1")
            db.trace(options: .statement) { _ in
                let number = statements.add(1, ordering: .relaxed).newValue
                guard number % Self.stride == 0 else { return }
                let state = "\(start).\(number)"
                states.withLock { $0.append(state) }
                try? Self.copyFiles(of: start, to: state)
            }
        }
        let database = try DatabaseQueue(path: start, configuration: configuration)
        try Self.engine(database, of: device)
        let expected = try Self.content(database)
        #expect(expected.contains("_sync_state: format \(MetadataTables.format)"))
        try database.close()
        let all = states.withLock { $0 }
        #expect(all.count > 3)
        for state in all {
            // In its place, as after a restart: elsewhere it would be a copy.
            Self.remove(start)
            try Self.copyFiles(of: state, to: start)
            let restarted = try DatabaseQueue(path: start)
            try Self.engine(restarted, of: device)
            #expect(try Self.content(restarted) == expected)
            try restarted.close()
        }
    }
}
