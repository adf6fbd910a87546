import Foundation
import LocalPostgres
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

/// `oversync migrate --partitions` on a database that is in use.
@Suite("Conversion to partitions and back", .timeLimit(.minutes(4)))
struct ConversionTests {
    private static let users = ["ann", "bob", "carl", "dora", "eve", "finn"]

    /// Changes of several users, by devices and by plain SQL, deletes and a compaction among them.
    private static func fill(_ database: SyncedDatabase) async throws {
        for (number, user) in users.enumerated() {
            let key = { (digit: String) in id("\(number)\(digit)") }
            let parent = key("1")
            let item = #"{"note_id":"\#(parent)"}"#
            try await database.upload(
                user, change(1, "INSERT", "notes", key("1"), #"{"title":"one"}"#),
                change(2, "INSERT", "notes", key("2"), #"{"title":"two"}"#),
                change(3, "INSERT", "items", key("3"), item),
                change(4, "UPDATE", "notes", key("2"), base: 1, #"{"title":"2"}"#))
            try await database.upload(
                user, change(5, "DELETE", "notes", key("2"), base: 2))
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner, title) VALUES ('\(key("4"))', '\(user)', 'sql');
                UPDATE s.notes SET title = 'changed' WHERE owner = '\(user)';
                """)
        }
        try await database.age(days: 100, upTo: 3)
        let day: Int64 = 86_400
        let retention = Retention(superseded: 30 * day, tombstones: 90 * day)
        _ = try await database.compact(retention)
    }

    @Test("Every change, tag, state, view, index and right is kept, to four, to three and back")
    func kept() async throws {
        try await SyncedDatabase.with(partitions: 1) { database in
            try await Self.fill(database)
            try await database.execute(
                """
                COMMENT ON TABLE sync.row_state IS 'It''s what rows are';
                ALTER TABLE sync.change_log SET (autovacuum_vacuum_scale_factor = 0.3);
                GRANT SELECT (seq, ts), UPDATE (ts) ON sync.change_log TO PUBLIC;
                CREATE VIEW s.mine WITH (security_barrier) AS
                    SELECT l.seq, l.payload FROM sync.change_log l;
                GRANT SELECT ON s.mine TO \(ServiceRole.download.defaultName);
                """)
            let (rows, shape) = (try await database.everything(), try await database.shape())
            #expect(rows.allSatisfy { $0.count > 100 } && shape.count > 30)
            let sums = try await Self.sums(database)
            for count in [4, 3, 1] {
                let lines = try await database.convert(to: count)
                #expect(lines.count == 2 && lines[0].contains("MiB"))
                #expect(try await Partitioning.current(on: database.sql) == count)
                #expect(try await database.everything() == rows, "\(count)")
                #expect(try await database.shape() == shape, "\(count)")
                let options = try await database.value(
                    "SELECT reloptions::text FROM pg_class WHERE oid = 's.mine'::regclass")
                #expect(options == "{security_barrier=true}")
                #expect(
                    try await database.value(
                        "SELECT count(*)::text FROM s.mine") != "0")
                let restarted = try database.restarted()
                #expect(try await Self.sums(restarted) == sums)
                #expect(try await restarted.verify().0 == [])
                let left = try await database.value(
                    "SELECT string_agg(relname, ' ') FROM pg_class WHERE relname ~ '_former'")
                #expect(left == "NULL")
            }
            // Nothing is left to do.
            #expect(try await database.convert(to: 1) == [])
            let restarted = try database.restarted()
            let next = change(6, "INSERT", "notes", id("99"), #"{"title":"on"}"#)
            #expect(try await restarted.outcomes("ann", next) == ["applied 1"])
            #expect(try await restarted.verify().0 == [])
        }
    }

    private static func sums(_ database: SyncedDatabase) async throws -> [[String]] {
        var all: [[String]] = []
        for user in users { all.append(try await database.sums(user)) }
        return all
    }

    /// Ends the session after the statement that it names, as kill -9 ends it.
    private static let trap = """
        CREATE SCHEMA trap;
        CREATE SEQUENCE trap.statements;
        CREATE FUNCTION trap.spring() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('trap.statements') = current_setting('trap.at', true)::bigint THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
        END $$;
        CREATE EVENT TRIGGER killed_conversion ON ddl_command_end EXECUTE FUNCTION trap.spring();
        """

    @Test("Wherever it is killed the former tables stay, and the next run comes to its end")
    func killed() async throws {
        try await SyncedDatabase.with(partitions: 1) { database in
            try await Self.fill(database)
            let (rows, shape) = (try await database.everything(), try await database.shape())
            try await database.endServices()
            try await database.execute(Self.trap)
            var deaths = 0
            for place in stride(from: 1, through: 1000, by: 3) {
                let other = try await SyncedDatabase.connect(database.url)
                defer { other.close() }
                try await other.execute(
                    script:
                        "SELECT setval('trap.statements', 1, false); SET trap.at = \(place)")
                do {
                    try await Partitioning(count: 4).apply(
                        in: MigrationRun(on: other), report: { _ in })
                    break
                } catch let error as PostgresError
                    where error.kind == .connectionLost || error.sqlState == .adminShutdown
                {
                    deaths += 1
                }
                #expect(try await Partitioning.current(on: database.sql) == 1)
                #expect(try await database.everything() == rows)
                #expect(try await database.shape() == shape)
            }
            #expect(deaths > 5)
            #expect(try await Partitioning.current(on: database.sql) == 4)
            #expect(try await database.everything() == rows)
        }
    }

    @Test("It refuses while services are connected, what would lose something, and wrong numbers")
    func refused() async throws {
        try await SyncedDatabase.with(partitions: 1) { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            func refusal(_ count: Int = 4) async -> String {
                do {
                    try await Partitioning(count: count, lockTimeout: .milliseconds(300)).apply(
                        in: MigrationRun(on: database.sql), report: { _ in })
                    return "none"
                } catch {
                    return "\(error)"
                }
            }
            let shape = try await database.shape()
            #expect(await refusal().contains("services are connected (oversync_upload"))
            try await database.endServices()
            #expect(await refusal(0).contains("use 1 to 64"))
            #expect(await refusal(65).contains("use 1 to 64"))
            try await database.execute(
                """
                CREATE TABLE s.watching (scope_id bigint, seq bigint,
                    FOREIGN KEY (scope_id, seq) REFERENCES sync.change_log);
                CREATE MATERIALIZED VIEW s.frozen AS SELECT count(*) FROM sync.row_state;
                CREATE FUNCTION s.spy() RETURNS trigger LANGUAGE plpgsql
                    AS 'BEGIN RETURN NULL; END';
                CREATE TRIGGER spy AFTER INSERT ON sync.change_log EXECUTE FUNCTION s.spy();
                """)
            let obstacles = await refusal()
            for part in ["watching", "materialized view s.frozen", "trigger spy"] {
                #expect(obstacles.contains(part), "\(obstacles)")
            }
            try await database.execute(
                """
                DROP TABLE s.watching; DROP MATERIALIZED VIEW s.frozen;
                DROP TRIGGER spy ON sync.change_log
                """)
            // Somebody writes: the conversion gives up, and the writer does not notice.
            let writer = try await SyncedDatabase.connect(database.url)
            defer { writer.close() }
            try await writer.execute(
                script: "BEGIN; INSERT INTO s.notes (id, owner) VALUES ('\(id("b1"))', 'ann')")
            let locked = await refusal()
            #expect(locked.contains("stayed locked, by change_log: process"), "\(locked)")
            try await writer.execute(script: "COMMIT")
            #expect(try await database.shape() == shape)
            #expect(await refusal() == "none")
            #expect(try await Partitioning.current(on: database.sql) == 4)
        }
    }

    @Test("The plan shows the tables, the locks and the room, and is what a run executes")
    func plan() async throws {
        try await SyncedDatabase.with(partitions: 1) { database in
            try await Self.fill(database)
            let before = try await database.everything()
            // Services may run: it is a plan.
            let plan = try await MigrationRun.rehearse(on: database.sql) {
                try await Partitioning(count: 2).apply(in: $0, report: { _ in })
            }
            let text = plan.description
            for part in [
                "PARTITION BY HASH (scope_id)", "ACCESS EXCLUSIVE", "as much room again",
                "-- Connected now: oversync_", "MODULUS 2, REMAINDER 1) WITH (",
                "INSERT INTO sync.row_state SELECT * FROM sync.\"row_state_former\";",
                "ADD CONSTRAINT change_log_pkey PRIMARY KEY (scope_id, seq)",
                "CREATE INDEX change_log_change_id ON sync.change_log",
                "GRANT INSERT ON sync.change_log TO oversync_upload",
                "CREATE OR REPLACE VIEW sync.sync_state AS",
            ] {
                #expect(text.contains(part), "\(part) is not in \(text)")
            }
            #expect(try await database.everything() == before)
            #expect(try await Partitioning.current(on: database.sql) == 1)
            try await database.endServices()
            let quiet = try await MigrationRun.rehearse(on: database.sql) {
                try await Partitioning(count: 2).apply(in: $0, report: { _ in })
            }
            let run = MigrationRun(on: database.sql)
            try await Partitioning(count: 2).apply(in: run, report: { _ in })
            #expect(run.plan == quiet)
        }
    }

    @Test("A dump of a database with partitions restores into one that goes on")
    func dumped() async throws {
        try await SyncedDatabase.with(partitions: 3) { database in
            try await Self.fill(database)
            let rows = try await database.everything()
            let file = FileManager.default.temporaryDirectory
                .appending(path: "partitions-\(UUID().uuidString).dump").path
            defer { try? FileManager.default.removeItem(atPath: file) }
            _ = try await LocalPostgres.run(
                program: "pg_dump", ["-Fc", "-f", file, database.url])
            try await TestDatabase.withDatabase { url in
                _ = try await LocalPostgres.run(
                    program: "pg_restore", ["--exit-on-error", "-d", url, file])
                let connection = try await SyncedDatabase.connect(url)
                defer { connection.close() }
                let copy = try SyncedDatabase(
                    url, connection, reaching: PostgresConfiguration(url: url))
                #expect(try await copy.everything() == rows)
                #expect(try await Partitioning.current(on: connection) == 3)
                // What oversync migrate does on the copy.
                _ = try await Migrator(connection: connection).migrate()
                _ = try await RoleInstallation(connection: connection).apply()
                try await Registration.apply(SyncedDatabase.registrations, on: connection)
                let next = change(6, "INSERT", "notes", id("99"), #"{"title":"on"}"#)
                #expect(try await copy.outcomes("bob", next) == ["applied 1"])
                #expect(try await copy.verify().0 == [])
            }
        }
    }

    @Test("Layout 16 on tables that are split already, with settings of the team's own")
    func laterLayouts() async throws {
        try await TestDatabase.withDatabase { url in
            let connection = try await SyncedDatabase.connect(url)
            defer { connection.close() }
            for migration in Migration.all.prefix(15) {
                try await connection.execute(script: migration.sql)
            }
            try await connection.execute(
                script: """
                    UPDATE sync.meta SET layout_version = 15;
                    ALTER TABLE sync.change_log SET (autovacuum_vacuum_scale_factor = 0.4);
                    ALTER TABLE sync.device_report SET (fillfactor = 90);
                    """)
            try await Partitioning(count: 2).apply(
                in: MigrationRun(on: connection), report: { _ in })
            #expect(
                try await Migrator(connection: connection).migrate()
                    == Migration.all.dropFirst(15).map(\.name))
            func options(_ table: String) async throws -> String {
                let rows = try await connection.run(
                    Command(
                        Statement(
                            name: "options_\(table)",
                            sql: """
                                SELECT array_to_string(reloptions, ' ') FROM pg_class
                                WHERE oid = 'sync.\(table)'::regclass
                                """)))
                return try rows.string(0, 0)
            }
            for partition in ["change_log_p0", "change_log_p1"] {
                #expect(
                    try await options(partition) == "autovacuum_vacuum_scale_factor=0.4 "
                        + "autovacuum_vacuum_insert_scale_factor=0.05")
            }
            #expect(
                try await options("row_state_p1")
                    == "fillfactor=80 autovacuum_vacuum_scale_factor=0.05")
            #expect(
                try await options("device_report")
                    == "fillfactor=90 autovacuum_vacuum_scale_factor=0.05")
            // What later layouts do: columns and indexes of the whole.
            try await connection.execute(
                script: """
                    ALTER TABLE sync.change_log ADD COLUMN more integer;
                    CREATE INDEX more ON sync.change_log (scope_id, more);
                    """)
        }
    }
}
