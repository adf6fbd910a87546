import Foundation
import Logging
import Postgres
import ServiceKit
@testable import Sidecar
import Telemetry
import Testing
import TestSupport
@testable import UploadService

/// Maintenance as Upload runs it, by the maintenance role.
@Suite("Maintenance by itself")
struct MaintenanceTests {
    /// A replica that could do it.
    private struct Replica {
        let maintenance: Maintenance
        let metrics: MetricsRegistry

        /// What a metric says now.
        func value(_ name: String) -> String? {
            metrics.rendered().split(separator: "\n").first { $0.hasPrefix(name + " ") }.map {
                String($0.dropFirst(name.count + 1))
            }
        }
    }

    private static func withReplicas(
        _ settings: [String: String] = [:],
        _ body: (SyncedDatabase, [Replica]) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            let url = TestDatabase.url(database.url, as: ServiceRole.maintenance.defaultName)
            let configuration = Configuration(
                environment: settings.merging(
                    [
                        MaintenanceSettings.url.key: url, "OVERSYNC_MAINTENANCE_PAUSE_MS": "0",
                    ]) { given, _ in given })
            var replicas: [Replica] = []
            var pools: [PostgresPool] = []
            for index in 0..<2 {
                let pool = try PostgresPool(
                    PostgresConfiguration(url: url, applicationName: "maintenance"),
                    pool: PoolConfiguration(
                        minimumConnections: 0, maximumConnections: Maintenance.connections),
                    logger: Logger(label: "maintenance"))
                pools.append(pool)
                let metrics = MetricsRegistry()
                var timing = Maintenance.Timing()
                timing.renewal = .milliseconds(20)
                replicas.append(
                    Replica(
                        maintenance: Maintenance(
                            pool: pool, settings: try MaintenanceSettings(configuration),
                            metrics: MaintenanceMetrics(metrics),
                            logger: Logger(label: "maintenance"), holder: "replica \(index)",
                            host: "replica-\(index)", timing: timing),
                        metrics: metrics))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for pool in pools { group.addTask { try await pool.run() } }
                defer { group.cancelAll() }
                try await body(database, replicas)
            }
        }
    }

    /// Longest wait for what the database shows, on a busy machine.
    private static let patience = Duration.seconds(30)

    /// Returns once a query's answer is this one.
    private static func see(
        _ answer: String, to query: String, in database: SyncedDatabase
    ) async throws {
        let deadline = ContinuousClock.now + patience
        while try await database.value(query) != answer {
            try #require(ContinuousClock.now < deadline, "not in time: \(query)")
            await Task.yield()
        }
    }

    private static let oldRows = """
        INSERT INTO s.notes (id, owner) SELECT gen_random_uuid(), 'ann' FROM generate_series(1, 20);
        UPDATE s.notes SET title = '1';
        UPDATE sync.change_log SET ts = now() - interval '400 days';
        """

    @Test("A run removes what is old, is recorded as begun and done, and is not due again")
    func run() async throws {
        try await Self.withReplicas(["OVERSYNC_KEEP_AUDIT_DAYS": "400"]) { database, replicas in
            try await database.execute(Self.oldRows)
            await replicas[0].maintenance.runIfDue()
            #expect(try await database.value("SELECT count(*)::text FROM sync.change_log") == "20")
            #expect(
                try await database.value(
                    """
                    SELECT string_agg(action || ' ' || outcome, ', ' ORDER BY id) FROM sync.audit
                    WHERE host = 'replica-0' AND database_role = 'oversync_maintenance'
                    """) == "compact begun, compact done, audit.prune begun, audit.prune done")
            #expect(
                replicas[0].value(#"oversync_maintenance_removed_total{kind="superseded"}"#) == "20"
            )
            #expect(replicas[0].value(#"oversync_maintenance_runs_total{outcome="done"}"#) == "1")
            for replica in replicas { await replica.maintenance.runIfDue() }
            #expect(replicas[0].value(#"oversync_maintenance_runs_total{outcome="done"}"#) == "1")
            #expect(replicas[1].value(#"oversync_maintenance_runs_total{outcome="done"}"#) == "0")
            // An hour of the schedule has passed since.
            try await database.execute(
                "UPDATE sync.lease SET done_at = now() - interval '25 hours'")
            await replicas[1].maintenance.runIfDue()
            #expect(replicas[1].value(#"oversync_maintenance_runs_total{outcome="done"}"#) == "1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Of replicas that begin at once, one runs")
    func election() async throws {
        try await Self.withReplicas { database, replicas in
            try await database.execute(Self.oldRows)
            await withTaskGroup(of: Void.self) { group in
                for replica in replicas { group.addTask { await replica.maintenance.runIfDue() } }
            }
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM sync.audit WHERE action = 'compact'") == "2")
        }
    }

    @Test("A run ends when another replica has its lease, also while it waits for a lock")
    func leaseLost() async throws {
        try await Self.withReplicas { database, replicas in
            try await database.execute(Self.oldRows)
            let holder = try await SyncedDatabase.connect(database.url)
            defer { holder.close() }
            try await holder.execute(script: "BEGIN; SELECT FROM sync.scope FOR UPDATE")
            async let first: Void = replicas[0].maintenance.runIfDue()
            try await Self.see(
                "true", to: "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)::text",
                in: database)
            // It is renewed, whatever its expiry says: nobody has taken it.
            try await database.execute("UPDATE sync.lease SET expires_at = '-infinity'")
            try await Self.see(
                "true", to: "SELECT (expires_at > now())::text FROM sync.lease", in: database)
            try await database.execute("UPDATE sync.lease SET holder = 'another'")
            await first
            #expect(replicas[0].value(#"oversync_maintenance_runs_total{outcome="failed"}"#) == "1")
            #expect(try await database.value("SELECT holder FROM sync.lease") == "another")
            try await holder.execute(script: "COMMIT")
        }
    }

    @Test("A lease that has expired is taken, and a run that failed is not repeated at once")
    func takeover() async throws {
        try await Self.withReplicas { database, replicas in
            try await database.execute(Self.oldRows)
            try await database.execute(
                """
                INSERT INTO sync.lease (name, holder, expires_at)
                VALUES ('maintenance', 'killed', now() + interval '1 hour');
                """)
            for replica in replicas { await replica.maintenance.runIfDue() }
            let begun = "SELECT count(*)::text FROM sync.audit WHERE outcome = 'begun'"
            #expect(try await database.value(begun) == "0")
            try await database.execute(
                """
                UPDATE sync.lease SET expires_at = now() - interval '1 second';
                REVOKE DELETE ON sync.change_log FROM oversync_maintenance;
                """)
            for replica in replicas { await replica.maintenance.runIfDue() }
            #expect(try await database.value(begun) == "1")
            #expect(replicas[0].value(#"oversync_maintenance_runs_total{outcome="failed"}"#) == "1")
            try await database.execute(
                """
                GRANT DELETE ON sync.change_log TO oversync_maintenance;
                UPDATE sync.lease SET expires_at = now() - interval '1 second';
                """)
            await replicas[1].maintenance.runIfDue()
            #expect(replicas[1].value(#"oversync_maintenance_runs_total{outcome="done"}"#) == "1")
            #expect(try await database.value("SELECT count(*)::text FROM sync.change_log") == "20")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Each run verifies the next users, and says what differs")
    func verification() async throws {
        try await Self.withReplicas(["OVERSYNC_MAINTENANCE_VERIFY_USERS": "1"]) {
            database, replicas in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) VALUES (gen_random_uuid(), 'ann');
                INSERT INTO s.notes (id, owner) VALUES (gen_random_uuid(), 'bob');
                ALTER TABLE s.notes DISABLE TRIGGER USER;
                UPDATE s.notes SET title = 'unseen' WHERE owner = 'bob';
                ALTER TABLE s.notes ENABLE TRIGGER USER;
                """)
            var found: [String?] = []
            for _ in 0..<4 {
                await replicas[0].maintenance.runIfDue()
                found.append(replicas[0].value("oversync_maintenance_differences"))
                try await database.execute("UPDATE sync.lease SET done_at = NULL")
            }
            // Ann, bob, nobody is left, ann again.
            #expect(found == ["0.0", "1.0", "0.0", "0.0"])
        }
    }

    @Test(
        "Settings that do nothing, or contradict each other, are refused by name",
        arguments: [
            (["OVERSYNC_KEEP_AUDIT_DAYS": "10"], "OVERSYNC_KEEP_AUDIT_DAYS"),
            (
                [
                    "OVERSYNC_MAINTENANCE_DATABASE_URL": "postgresql://x@h/d",
                    "OVERSYNC_KEEP_DELETES_DAYS": "10",
                ], "OVERSYNC_KEEP_DELETES_DAYS"
            ),
            (
                ["OVERSYNC_MAINTENANCE_DATABASE_URL": "nonsense"],
                "OVERSYNC_MAINTENANCE_DATABASE_URL"
            ),
        ])
    func settings(environment: [String: String], key: String) {
        let problems = MaintenanceSettings.problems(in: Configuration(environment: environment))
        #expect(problems.map(\.key) == [key])
    }
}
