import Postgres
import ServiceKit
import Sidecar
import Telemetry
import Testing
import TestSupport

@testable import UploadService

/// `sync.health` and `sync.database_health`, as Upload's role reads them for its metrics.
@Suite("What the database says of its own upkeep", .timeLimit(.minutes(2)))
struct HealthTests {
    private static func read(_ database: SyncedDatabase) async throws -> SidecarHealth {
        try await database.pool.withConnection { try await SidecarHealth.read(on: $0) }
    }

    private static func reports(_ database: SyncedDatabase) async throws -> TableHealth {
        try #require(try await read(database).tables.first { $0.table == "device_report" })
    }

    /// Counts reach the statistics with this, and otherwise within a second.
    private static let flush = "SELECT pg_stat_force_next_flush(); SELECT 1;"

    @Test("Dead rows, bloat and the visible share follow what is deleted and vacuumed")
    func tables() async throws {
        try await SyncedDatabase.with { database in
            let before = try await Self.reports(database)
            #expect(before.bloatBytes == nil && before.estimatedRows == nil)
            #expect(before.lastVacuum == nil && before.indexOnlyShare == nil)
            try await database.execute(
                """
                INSERT INTO sync.device_report (scope_id, device, reported_at, report)
                SELECT n, 'phone', now(), json_build_object('text', repeat('x', 100))
                FROM generate_series(1, 10000) AS n;
                ANALYZE sync.device_report;
                \(Self.flush)
                """)
            let full = try await Self.reports(database)
            #expect(full.estimatedRows == 10_000 && full.deadRows == 0)
            // A twentieth, as the migration has set it.
            #expect(full.vacuumAboveRows == 550)
            let bloat = try #require(full.bloatBytes)
            #expect(bloat * 10 < full.tableBytes, "\(full)")

            try await database.execute(
                """
                DELETE FROM sync.device_report WHERE scope_id % 10 > 0;
                \(Self.flush)
                """)
            let deleted = try await Self.reports(database)
            #expect(deleted.deadRows == 9000 && deleted.deletedRows == 9000)
            try await database.execute("VACUUM (ANALYZE) sync.device_report")
            try await database.execute(Self.flush)
            let vacuumed = try await Self.reports(database)
            #expect(vacuumed.deadRows == 0 && vacuumed.estimatedRows == 1000)
            #expect((vacuumed.bloatBytes ?? 0) * 10 > vacuumed.tableBytes * 7, "\(vacuumed)")
            #expect(vacuumed.indexOnlyShare == 1)
            #expect(vacuumed.lastVacuum != nil)
        }
    }

    @Test("An open transaction is named as what keeps vacuum from its work, whoever runs it")
    func holder() async throws {
        try await SyncedDatabase.with { database in
            let quiet = try await Self.read(database).database
            #expect(quiet.heldBy == nil && quiet.oldestTransaction == nil)
            let other = try await SyncedDatabase.connect(
                TestDatabase.url(database.url, as: ServiceRole.download.defaultName))
            defer { other.close() }
            try await other.execute(script: "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            let pid = try await other.run(
                Command(Statement(name: "own_pid", sql: "SELECT pg_backend_pid()::text"))
            ).string(0, 0)
            let held = try await Self.read(database).database
            #expect(held.heldBy == "session" && held.heldByName == pid)
            // Download's role could not see when it began.
            #expect((held.oldestTransaction ?? -1) >= 0)
            let before = try #require(held.heldTransactions)
            for _ in 0..<3 { try await database.execute("SELECT txid_current()") }
            let later = try await Self.read(database).database
            #expect((later.heldTransactions ?? 0) >= before + 3)
            try await other.execute(script: "COMMIT")
            #expect(try await Self.read(database).database.heldBy == nil)
        }
    }

    @Test("Compaction records when the delete at the floor was made")
    func floors() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), "{}"),
                change(2, "INSERT", "notes", id("a2"), "{}"))
            try await database.upload("ann", change(3, "DELETE", "notes", id("a1"), base: 1))
            #expect(try await Self.read(database).database.newestFloor == nil)
            try await database.age(days: 100, upTo: 3)
            let day: Int64 = 86_400
            let retention = Retention(superseded: 30 * day, tombstones: 90 * day)
            #expect(try await database.compact(retention).tombstones == 1)
            let floor = try #require(try await Self.read(database).database.newestFloor)
            #expect((99.9...100.1).contains(floor / Double(day)))
            #expect(try await Self.read(database).database.oldestFloor != nil)

            let registry = MetricsRegistry()
            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            gauges.report(to: registry)
            try await gauges.read()
            let text = registry.rendered()
            for name in [
                "oversync_log_newest_floor_age_seconds",
                "oversync_database_held_transactions 0",
                "oversync_database_oldest_transaction_seconds 0",
                #"oversync_sidecar_vacuum_above_rows{table="change_log"} "#,
            ] {
                #expect(text.contains("\n\(name)"), "\(name)")
            }
            let isSplit = SyncedDatabase.usualPartitions > 1
            #expect(text.contains("\noversync_sidecar_partition_bytes{") == isSplit)
            #expect(gauges.warnings.isEmpty)
        }
    }

    @Test("Neither view reads a table that grows, but for the index of floors")
    func cheap() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("SET enable_seqscan = off")
            for view in ["health", "database_health"] {
                let plan = try #require(
                    try await database.value("EXPLAIN (FORMAT JSON) SELECT * FROM sync.\(view)"))
                for table in ["change_log", "row_state", "source", "device_report"] {
                    #expect(!plan.contains("\"Relation Name\": \"\(table)\""), "\(view)")
                }
                #expect(plan.contains("scope_floor") == (view == "database_health"))
            }
        }
    }

    private static func health(
        dead: Int64 = 0, oldest: Double? = nil, held: Int64? = nil
    ) -> SidecarHealth {
        SidecarHealth(
            parts: ["p0", "p1"].map { partition in
                TableHealth(
                    table: "change_log", partition: partition, tableBytes: 8192, indexBytes: 8192,
                    estimatedRows: 1_000_000, deadRows: dead / 2, vacuumAboveRows: 50_050,
                    bloatBytes: partition == "p0" ? 100 : nil,
                    indexOnlyShare: partition == "p0" ? 1 : 0, insertedRows: 3, deletedRows: 1,
                    lastVacuum: partition == "p0" ? 7 : nil)
            },
            database: DatabaseHealth(
                oldestTransaction: oldest, heldTransactions: held, heldBy: "slot",
                heldByName: "s", newestFloor: nil, oldestFloor: nil))
    }

    @Test("Warnings are those of the alerts, and partitions count together")
    func warnings() {
        #expect(Self.health(dead: 400_000, oldest: 3599, held: 9_999_999).warnings.isEmpty)
        let behind = Self.health(dead: 400_804)
        #expect(behind.warnings.count == 1)
        #expect(behind.warnings[0].hasPrefix("sync.change_log has 400804 dead rows"))
        #expect(Self.health(oldest: 7200).warnings[0].contains("open for 120 minutes"))
        let unseen = Self.health(held: 12_000_000).warnings
        #expect(unseen.count == 1 && unseen[0].contains("since the oldest slot did"))
        let whole = behind.tables[0]
        #expect(behind.tables.count == 1 && whole.partition == nil)
        #expect(whole.bytes == 32_768 && whole.vacuumAboveRows == 100_100)
        #expect(whole.bloatBytes == 100 && whole.indexOnlyShare == 0.5 && whole.lastVacuum == 7)
    }
}
