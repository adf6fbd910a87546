import DatabaseKit
import LocalPostgres
import Model
import Postgres
import ServiceKit
@testable import Sidecar
import Testing
import TestSupport
@testable import UploadService

@Suite("Writes that no capture trigger sees are named at the next look, and migrate sends them")
struct UncapturedWriteTests {
    private static func replica(_ sql: String) -> String {
        "SET session_replication_role = replica; \(sql); RESET session_replication_role"
    }

    private static let inserted = "INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann')"

    /// The tables that `oversync tables` and `oversync status` report as not captured.
    private static func uncaptured(_ database: SyncedDatabase) async throws -> [String] {
        try await TableOverview.read(on: database.sql).filter(\.lacksCapture).map {
            "\($0.table.name)"
        }
    }

    /// What `/ready` of Upload says of tables at the next reading of the catalog.
    private static func problems(_ database: SyncedDatabase) async throws -> [String] {
        try await database.source.refresh()
        return database.source.flaws.map { "\($0.table) \($0.kind.rawValue)" }
    }

    private static func migrate(_ database: SyncedDatabase) async throws -> [String] {
        try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
    }

    private static func records(_ database: SyncedDatabase) async throws -> String? {
        try await database.value("SELECT count(*)::text FROM sync.uncaptured_write")
    }

    static let writes = [
        "INSERT INTO s.notes (id, owner) VALUES ('\(id("b1"))', 'ann')",
        "UPDATE s.notes SET title = 'unseen'",
        """
        INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann')
            ON CONFLICT (id) DO UPDATE SET title = 'unseen'
        """,
        """
        WITH more AS (INSERT INTO s.notes (id, owner) VALUES ('\(id("b1"))', 'ann') RETURNING id)
        SELECT FROM more
        """,
    ]

    @Test("Rows that a session writes with session_replication_role = replica", arguments: writes)
    func session(_ sql: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.inserted)
            #expect(try await Self.problems(database) == [])
            try await database.execute(Self.replica(sql))
            #expect(try await Self.problems(database) == ["s.notes uncaptured_writes"])
            let text = DatabaseNeeds.state(of: database.source)().map(\.text).joined()
            #expect(text.contains("session_replication_role") && text.contains("oversync migrate"))

            let remarks = try await Self.migrate(database)
            #expect(
                remarks.contains("s.notes: sent 1 rows that were written without capture"),
                "\(remarks)")
            #expect(try await Self.problems(database) == [])
            #expect(try await database.feed("ann").count == 2)
            #expect(try await database.verify().0 == [])
            #expect(try await Self.migrate(database) == [])
        }
    }

    @Test(
        "Deleted rows: named until a repair that accepts deletes",
        arguments: ["DELETE FROM", "TRUNCATE"])
    func deletes(_ verb: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                "INSERT INTO s.prefs VALUES ('ann', 'p1', 'x'), ('ann', 'p2', 'x')")
            try await database.execute(Self.replica("\(verb) s.prefs"))
            #expect(try await Self.problems(database) == ["s.prefs uncaptured_writes"])
            let remarks = try await Self.migrate(database)
            #expect(remarks.contains { $0.hasPrefix("s.prefs: 2 differences are left") })
            #expect(try await Self.problems(database) == ["s.prefs uncaptured_writes"])

            let writes = try await UncapturedWrites.see(on: database.sql)
            #expect(try await database.verify(repair: true, acceptsDeletes: true).0 == [])
            try await writes.remove(exceptOf: [], on: database.sql)
            #expect(try await Self.problems(database) == [])
            #expect(try await database.feed("ann", after: 2).count == 2)
        }
    }

    @Test("Triggers that were off between two looks, as pg_restore --disable-triggers does it")
    func offAndOn() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                BEGIN; ALTER TABLE s.notes DISABLE TRIGGER ALL; \(Self.inserted);
                ALTER TABLE s.notes ENABLE TRIGGER ALL; COMMIT
                """)
            #expect(try await Self.problems(database) == ["s.notes capture_reset"])
            #expect(try await Self.uncaptured(database) == ["s.notes"])
            let remarks = try await Self.migrate(database)
            #expect(remarks.contains("s.notes: sent 1 rows that were written without capture"))
            #expect(try await Self.problems(database) == [])
            #expect(try await Self.uncaptured(database) == [])
            #expect(try await database.feed("ann") == ["I notes a1 1"])
            // The triggers are as they should be again.
            try await database.execute(Self.replica("UPDATE s.notes SET title = 'unseen'"))
            #expect(try await Self.problems(database) == ["s.notes uncaptured_writes"])
        }
    }

    @Test("Triggers that are still off: migrate puts them on and sends what was written")
    func off() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("ALTER TABLE s.notes DISABLE TRIGGER USER; \(Self.inserted)")
            #expect(try await Self.problems(database).contains("s.notes capture_off"))
            _ = try await Self.migrate(database)
            #expect(try await Self.problems(database) == [])
            #expect(try await database.feed("ann") == ["I notes a1 1"])
        }
    }

    @Test(
        "An ordinary session records nothing, nor does a new table, nor one that ends in ROLLBACK")
    func nothing() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                \(Self.inserted); UPDATE s.notes SET title = 'seen'; TRUNCATE s.prefs;
                BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM s.notes; ROLLBACK
                """)
            try await database.upload("ann", change(1, "INSERT", "notes", id("a2"), "{}"))
            #expect(try await Self.records(database) == "0")
            #expect(try await Self.problems(database) == [])
        }
    }

    @Test("In one transaction each table is recorded once, also after a rolled back savepoint")
    func once() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                BEGIN; SET LOCAL session_replication_role = replica;
                SAVEPOINT one; \(Self.inserted); ROLLBACK TO one;
                \(Self.inserted); UPDATE s.notes SET title = 'x';
                INSERT INTO s.prefs VALUES ('ann', 'p1', 'x'); DELETE FROM s.prefs; COMMIT
                """)
            #expect(try await Self.records(database) == "2")
            #expect(
                try await Self.problems(database) == [
                    "s.notes uncaptured_writes", "s.prefs uncaptured_writes",
                ])
        }
    }

    @Test(
        "Writers share a record and wait for nobody; a comparison leaves the record of an open one")
    func concurrency() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.replica(Self.inserted))
            let (one, two) = (
                try await SyncedDatabase.connect(database.url),
                try await SyncedDatabase.connect(database.url)
            )
            defer {
                one.close()
                two.close()
            }
            for (connection, key) in [(one, "b1"), (two, "b2")] {
                try await connection.execute(
                    script: """
                        SET lock_timeout = 1; SET session_replication_role = replica; BEGIN;
                        INSERT INTO s.notes (id, owner) VALUES ('\(id(key))', 'ann')
                        """)
            }
            #expect(try await Self.records(database) == "1")
            _ = try await Self.migrate(database)
            #expect(try await Self.problems(database) == ["s.notes uncaptured_writes"])
            try await one.execute(script: "COMMIT")
            try await two.execute(script: "COMMIT")

            // A writer that comes while a comparison is under way makes a record of its own.
            let writes = try await UncapturedWrites.see(on: database.sql)
            try await one.execute(
                script: "INSERT INTO s.notes (id, owner) VALUES ('\(id("b3"))', 'ann')")
            try await writes.remove(exceptOf: [], on: database.sql)
            #expect(try await Self.records(database) == "1")
            _ = try await Self.migrate(database)
            #expect(try await Self.problems(database) == [])
            #expect(try await database.feed("ann").count == 4)
        }
    }

    @Test("A writer with an older snapshot is recorded, too, and never fails for it")
    func olderSnapshot() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.replica(Self.inserted))
            let writer = try await SyncedDatabase.connect(database.url)
            defer { writer.close() }
            try await writer.execute(
                script: """
                    SET session_replication_role = replica;
                    BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT FROM s.tags
                    """)
            _ = try await UncapturedWrites.see(on: database.sql)
            try await writer.execute(script: "UPDATE s.prefs SET value = 'x'")
            try await writer.execute(script: "UPDATE s.notes SET title = 'x'; COMMIT")
            #expect(try await Self.records(database) == "3")
        }
    }

    @Test("Whoever may write to the table needs no right on the record")
    func unprivileged() async throws {
        try await SyncedDatabase.with { database in
            // A role of the whole cluster, as no other database of it has.
            let name = try await database.value("SELECT current_database()")
            let role = "etl_\(try #require(name))"
            try await database.execute(
                """
                CREATE ROLE \(role); GRANT USAGE ON SCHEMA s TO \(role);
                GRANT INSERT ON s.notes TO \(role);
                SET session_replication_role = replica; SET ROLE \(role);
                SET search_path = pg_temp; CREATE TEMP TABLE uncaptured_write (table_id int)
                """)
            let outcome = await Result { try await database.execute(Self.inserted) }
            try await database.execute(
                """
                RESET ROLE; RESET session_replication_role; RESET search_path;
                DROP OWNED BY \(role); DROP ROLE \(role)
                """)
            try outcome.get()
            #expect(try await Self.problems(database) == ["s.notes uncaptured_writes"])
        }
    }

    @Test("A table that is no longer registered leaves no triggers and no record")
    func unregistered() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(Self.replica(Self.inserted))
            let others = SyncedDatabase.registrations.filter { $0.name.table != "notes" }
            try await Registration.apply(others, on: database.sql)
            #expect(try await Self.records(database) == "0")
            #expect(
                try await database.value(
                    """
                    SELECT count(*)::text FROM pg_trigger
                    WHERE tgname LIKE 'oversync%' AND tgrelid = 's.notes'::regclass
                    """) == "0")
            try await database.execute(Self.replica("UPDATE s.notes SET title = 'x'"))
            #expect(try await Self.records(database) == "0")
        }
    }

    @Test("What a subscription of logical replication writes stays named after it has ended")
    func subscription() async throws {
        try await TestDatabase.withCluster(
            settings: TestDatabase.testSettings.merging(["wal_level": "logical"]) { $1 }
        ) { cluster in
            let admin = try await SyncedDatabase.connect(cluster.connectionURL())
            defer { admin.close() }
            try await admin.execute(script: "CREATE DATABASE source")
            let origin = try await SyncedDatabase.connect(
                cluster.connectionURL(database: "source"))
            defer { origin.close() }
            try await origin.execute(
                script: """
                    \(SyncedDatabase.tables)
                    CREATE PUBLICATION p FOR TABLE s.notes
                    """)
            try await origin.execute(
                script: "SELECT pg_create_logical_replication_slot('p', 'pgoutput')")
            let url = cluster.connectionURL()
            try await SyncedDatabase.prepare(url)
            let database = try SyncedDatabase(
                url, admin, reaching: PostgresConfiguration(url: url))
            try await database.execute(
                """
                CREATE SUBSCRIPTION p CONNECTION '\(cluster.connectionURL(database: "source"))'
                PUBLICATION p WITH (create_slot = false, copy_data = false)
                """)
            try await origin.execute(script: Self.inserted)
            try await Self.expectRecord(database)
            #expect(
                try await Self.problems(database).sorted() == [
                    "s.notes subscribed", "s.notes uncaptured_writes",
                ])
            for end in [
                "ALTER SUBSCRIPTION p DISABLE", "ALTER SUBSCRIPTION p SET (slot_name = NONE)",
                "DROP SUBSCRIPTION p",
            ] { try await database.execute(end) }
            #expect(try await Self.problems(database) == ["s.notes uncaptured_writes"])
            _ = try await Self.migrate(database)
            #expect(try await Self.problems(database) == [])
            #expect(try await database.feed("ann") == ["I notes a1 1"])
        }
    }

    /// Another process of PostgreSQL's writes it.
    private static func expectRecord(_ database: SyncedDatabase) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try await records(database) == "0" {
            try #require(.now < deadline, "the replication has written nothing")
        }
    }
}

extension Result where Failure == any Error {
    /// What an asynchronous closure comes to.
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
