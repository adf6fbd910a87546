import Model
import ObservabilityFiles
import Postgres
import Sidecar
import TestSupport
import Testing

/// What runbooks ask PostgreSQL, as the tables' owner, whom `Docs/metrics.md` calls `$DATABASE`.
@Suite("Statements of runbooks", .timeLimit(.minutes(2)))
struct RunbookStatementsTests {
    /// The process that runbooks end, as they write it.
    private static let example = "12345"

    /// The texts that runbooks give to psql.
    private static func texts() throws -> [String] {
        try Runbook.all().flatMap(\.commands).compactMap { words in
            guard words.count == 4, words[0] == "psql", ["-c", "-Atc"].contains(words[2]) else {
                return nil
            }
            return words[3]
        }
    }

    /// What the bundled PostgreSQL grants its owner.
    private static func grant(to owner: String) throws -> String {
        let script = try ObservabilityFiles.text(of: "Deploy/postgres/start.sh")
        let line = try #require(script.firstMatch(of: #/(?m)^(GRANT .* TO) :"owner";$/#))
        return "\(line.output.1) \"\(owner)\";"
    }

    /// Makes an owner of the tables who is no superuser.
    private static func making(_ owner: String) throws -> String {
        """
        CREATE ROLE "\(owner)" LOGIN CREATEROLE;
        \(try grant(to: owner))
        CREATE SCHEMA app CREATE TABLE notes (id uuid PRIMARY KEY);
        DO $$
        DECLARE name text;
        BEGIN
            EXECUTE format('ALTER DATABASE %I OWNER TO "\(owner)"', current_database());
            ALTER SCHEMA sync OWNER TO "\(owner)";
            ALTER SCHEMA app OWNER TO "\(owner)";
            FOR name IN SELECT oid::regclass::text FROM pg_class
                WHERE relkind IN ('r', 'p', 'v')
                    AND relnamespace IN ('sync'::regnamespace, 'app'::regnamespace)
            LOOP
                EXECUTE format('ALTER TABLE %s OWNER TO "\(owner)"', name);
            END LOOP;
            FOR name IN SELECT oid::regprocedure::text FROM pg_proc
                WHERE pronamespace = 'sync'::regnamespace
            LOOP
                EXECUTE format('ALTER ROUTINE %s OWNER TO "\(owner)"', name);
            END LOOP;
        END $$;
        """
    }

    @Test("They run as the tables' owner, who sees the sessions of other roles and ends them")
    func owner() async throws {
        try await SyncedDatabase.with { database in
            let owner = try #require(
                try await database.value(
                    "SELECT 'owner_' || oid FROM pg_database WHERE datname = current_database()"))
            try await database.execute(try Self.making(owner))
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await Self.run(as: owner, database))
            } catch {
                outcome = .failure(error)
            }
            try await database.execute(
                """
                REASSIGN OWNED BY "\(owner)" TO CURRENT_USER; DROP OWNED BY "\(owner)";
                DROP ROLE "\(owner)";
                """)
            try outcome.get()
        }
    }

    private static func run(as owner: String, _ database: SyncedDatabase) async throws {
        let role = ServiceRole.download.defaultName
        let held = try await SyncedDatabase.connect(TestDatabase.url(database.url, as: role))
        defer { held.close() }
        let pid = try await held.run(
            Command(Statement(name: "own_pid", sql: "SELECT pg_backend_pid()::text"))
        ).string(0, 0)
        // It holds a snapshot, and no statement runs in it.
        try await held.execute(script: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        let connection = try await SyncedDatabase.connect(
            TestDatabase.url(database.url, as: owner))
        defer { connection.close() }

        let texts = try Self.texts()
        #expect(texts.count > 20)
        var seen = 0
        for text in texts where !text.contains(example) {
            do { try await connection.execute(script: text) } catch {
                Issue.record("\(text): \(error)")
            }
            // Of other roles' sessions, members of pg_monitor alone see the state.
            guard text.contains("pg_stat_activity"),
                text.contains(#/SELECT [^(]*\bstate\b.* FROM/#)
            else { continue }
            let found = try await connection.run(
                Command(
                    Statement(
                        name: "seen_\(seen)",
                        sql: """
                            SELECT count(*) FROM (\(text)) AS listed, to_jsonb(listed) AS line
                            WHERE line->>'state' = 'idle in transaction'
                                AND coalesce(line->>'pid', '\(pid)') = '\(pid)'
                                AND coalesce(line->>'usename', '\(role)') = '\(role)'
                            """))
            ).int64(0, 0)
            #expect(found > 0, "\(text)")
            seen += 1
        }
        #expect(seen >= 4)

        for text in texts where text.contains(example) {
            try await connection.execute(script: text.replacing(example, with: pid))
        }
        let deadline = ContinuousClock.now + .seconds(30)
        let sessions = "SELECT pid::text FROM pg_stat_activity WHERE pid = \(pid)"
        while try await database.value(sessions) != nil {
            try #require(.now < deadline, "the session was not ended")
        }
    }
}
