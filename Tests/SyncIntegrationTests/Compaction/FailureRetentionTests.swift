import Postgres
@testable import Sidecar
import Testing

@Suite("How long refused changes are listed")
struct FailureRetentionTests {
    private static let day: Int64 = 86_400

    /// Refused changes of a user, the first ones a year old.
    private func refuse(
        _ database: SyncedDatabase, _ user: String, count: Int, old: Int
    ) async throws {
        try await database.execute(
            """
            INSERT INTO sync.materialize_failures (scope_id, table_id, key, attempted_version, op,
                source_no, source_change_id, sqlstate, error, first_seen)
            SELECT s.scope_id, 1, int8send(n), 1, 'D', 1, n, '23514', 'no',
                now() - CASE WHEN n <= \(old) THEN interval '1 year' ELSE interval '1 hour' END
            FROM sync.scope s, generate_series(1, \(count)) AS n WHERE s.user_id = '\(user)'
            """)
    }

    private func left(_ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            """
            SELECT string_agg(user_id || ' ' || n, ', ' ORDER BY user_id) FROM (
                SELECT user_id, count(*) AS n FROM sync.materialize_failures
                JOIN sync.scope USING (scope_id) GROUP BY 1) AS left_over
            """)
    }

    @Test(
        "Old ones go in small steps, young ones stay; without a retention and of other users all do"
    )
    func retention() async throws {
        try await SyncedDatabase.with { database in
            for user in ["ann", "bob"] {
                try await database.upload(user, change(1, "INSERT", "prefs", "p", "{}"))
                try await refuse(database, user, count: 1203, old: 1200)
            }
            let unlimited = Retention(superseded: 30 * Self.day, tombstones: 90 * Self.day)
            #expect(try await database.compact(unlimited).failures == 0)
            #expect(try await left(database) == "ann 1203, bob 1203")
            let quarter = Retention(
                superseded: 30 * Self.day, tombstones: 90 * Self.day, failures: 90 * Self.day)
            let summary = try await Compactor(connection: database.sql, retention: quarter)
                .run(user: "ann")
            #expect(summary.failures == 1200)
            #expect(try await left(database) == "ann 3, bob 1203")
            // As the role that prunes.
            #expect(try await database.compact(quarter) == .init(failures: 1200))
            #expect(try await left(database) == "ann 3, bob 3")
        }
    }
}
