import LogFields
import Logging
import Postgres
import ServiceLifecycle
import Sidecar
import Synchronization
import Telemetry

/// What the database says of the sidecar, for the metrics: read every half minute, so that a scrape
/// asks nobody. Each replica of Upload tells the same.
///
/// What was read longer ago than two readings should take is not told any more: a number that
/// stands still would look like one that is well.
final class SidecarGauges: Service {
    /// Between two readings.
    static let interval: Duration = .seconds(30)
    /// Longest time of one reading.
    static let readLimit: Duration = .seconds(10)
    /// What is older is not told.
    static let maximumAge: Duration = interval * 2 + readLimit

    /// What one reading found.
    struct Reading: Sendable {
        let at: ContinuousClock.Instant
        let backlog: (changes: Double, oldestSeconds: Double)
        let health: SidecarHealth
        let database: MeasuringStatements.ReadDatabase.Row
        let slots: [MeasuringStatements.ReadSlots.Row]

        var log: TableHealth? { health.tables.first { $0.table == "change_log" } }
    }

    private let pool: PostgresPool
    private let logger: Logger
    private let last = Mutex<Reading?>(nil)

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// The last reading, unless it is too old.
    func reading(now: ContinuousClock.Instant = .now) -> Reading? {
        last.withLock { $0 }.flatMap { now - $0.at > Self.maximumAge ? nil : $0 }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var told: String?
            while !Task.isCancelled {
                do {
                    try await self.read()
                    told = nil
                } catch  where !Task.isCancelled {
                    let text = "\(error)"
                    if text != told {
                        self.logger.warning(
                            "the sidecar could not be measured",
                            metadata: .fields([.error: "\(text)"]))
                    }
                    told = text
                } catch {
                    return
                }
                // Sizes signal nothing by themselves.
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    func read() async throws {
        let deadline = ContinuousClock.now + Self.readLimit
        let reading = try await pool.withConnection(deadline: deadline) { connection in
            Reading(
                at: .now,
                backlog: try await connection.run(
                    MeasuringStatements.ReadBacklog(), deadline: deadline
                ).one(),
                health: try await SidecarHealth.read(on: connection, deadline: deadline),
                database: try await connection.run(
                    MeasuringStatements.ReadDatabase(), deadline: deadline
                ).one(),
                slots: try await connection.run(
                    MeasuringStatements.ReadSlots(), deadline: deadline
                ).all())
        }
        last.withLock { $0 = reading }
    }

    // MARK: - The metrics

    func report(to metrics: MetricsRegistry) {
        func value(_ name: String, _ help: String, _ pick: @escaping @Sendable (Reading) -> Double?)
        {
            metrics.value(name, help) { [weak self] in self?.reading().flatMap(pick) }
        }
        value(
            "oversync_upload_materialize_backlog",
            "Changes that business tables refused and nobody has dealt with, up to 10000"
        ) { $0.backlog.changes }
        value(
            "oversync_upload_materialize_oldest_seconds",
            "Age of the oldest of these changes; 0 if there is none"
        ) { $0.backlog.oldestSeconds }
        value("oversync_database_bytes", "Size of the database") { $0.database.bytes }
        value(
            "oversync_database_transaction_age",
            "Transactions since the oldest that is not frozen: PostgreSQL stops at 2^31"
        ) { $0.database.transactionAge }
        value("oversync_database_connections", "Connections to the databases of the server") {
            $0.database.connections
        }
        value("oversync_database_max_connections", "Connections that the server takes") {
            $0.database.maximumConnections
        }
        value(
            "oversync_database_oldest_transaction_seconds",
            "Age of the oldest transaction that has read or written something; 0 if there is none"
        ) { $0.health.database.oldestTransaction ?? 0 }
        value(
            "oversync_database_held_transactions",
            "Transactions that began since what keeps vacuum from removing dead rows"
        ) { Double($0.health.database.heldTransactions ?? 0) }
        value(
            "oversync_log_newest_floor_age_seconds",
            "Age of the newest delete that was removed: a device away for longer may begin again"
        ) { $0.health.database.newestFloor }
        value(
            "oversync_log_oldest_floor_age_seconds",
            "The same of the user whose newest removed delete is the oldest"
        ) { $0.health.database.oldestFloor }
        reportTables(to: metrics)
        reportUpkeep(to: metrics)
        reportSlots(to: metrics)
    }

    /// A metric with a value for each table of the sidecar that has one.
    private func tables(
        _ metrics: MetricsRegistry, _ name: String, _ help: String,
        _ pick: @escaping @Sendable (TableHealth) -> Double?
    ) {
        metrics.gauge(name, help, labels: ["table"]) { [weak self] in
            var values: [(MetricLabels, Double)] = []
            for table in self?.reading()?.health.tables ?? [] {
                if let value = pick(table) { values.append((["table": table.table], value)) }
            }
            return values
        }
    }

    private func reportTables(to metrics: MetricsRegistry) {
        tables(
            metrics, "oversync_sidecar_bytes", "Size of a table of the sidecar with its indexes"
        ) { Double($0.bytes) }
        tables(
            metrics, "oversync_sidecar_rows",
            "Rows of a table of the sidecar, as PostgreSQL estimates"
        ) { Double($0.estimatedRows ?? 0) }
        tables(
            metrics, "oversync_sidecar_dead_rows",
            "Rows of a table of the sidecar that vacuum has not removed yet, as estimated"
        ) { Double($0.deadRows) }
        metrics.gauge(
            "oversync_sidecar_partition_bytes",
            "Size of a partition of a table of the sidecar with its indexes",
            labels: ["table", "partition"]
        ) { [weak self] in
            var values: [(MetricLabels, Double)] = []
            for part in self?.reading()?.health.parts ?? [] {
                guard let partition = part.partition else { continue }
                let labels: MetricLabels = ["table": part.table, "partition": partition]
                values.append((labels, Double(part.bytes)))
            }
            return values
        }
        metrics.counter(
            "oversync_log_changes_added_total", "Changes that the log got, as PostgreSQL counts"
        ) { [weak self] in
            (self?.reading()?.log).map { [(.none, Double($0.insertedRows))] } ?? []
        }
        metrics.counter(
            "oversync_log_changes_removed_total",
            "Changes that compaction removed from the log, as PostgreSQL counts"
        ) { [weak self] in
            (self?.reading()?.log).map { [(.none, Double($0.deletedRows))] } ?? []
        }
    }

    /// What vacuum has to do, and how well it does it.
    private func reportUpkeep(to metrics: MetricsRegistry) {
        tables(
            metrics, "oversync_sidecar_vacuum_above_rows",
            "Dead rows of a table of the sidecar above which autovacuum comes"
        ) { Double($0.vacuumAboveRows) }
        tables(
            metrics, "oversync_sidecar_vacuum_timestamp_seconds",
            "When a table of the sidecar was last vacuumed, in seconds since 1970"
        ) { $0.lastVacuum }
        tables(
            metrics, "oversync_sidecar_bloat_bytes",
            "Bytes of a table of the sidecar that hold no rows, as estimated"
        ) { table in table.bloatBytes.map { Double($0) } }
        tables(
            metrics, "oversync_sidecar_index_only_ratio",
            "Share of a table's pages that a scan of an index alone need not read"
        ) { $0.indexOnlyShare }
    }

    /// Lines for `/ready`: what needs an operator and is in nobody's way yet.
    var warnings: [String] { reading()?.health.warnings ?? [] }

    private func reportSlots(to metrics: MetricsRegistry) {
        metrics.gauge(
            "oversync_database_slot_active",
            "1 while a standby or a backup receives WAL through the replication slot",
            labels: ["slot"]
        ) { [weak self] in
            (self?.reading()?.slots ?? []).map { (["slot": $0.name], $0.isActive ? 1 : 0) }
        }
        metrics.gauge(
            "oversync_database_slot_bytes", "WAL that the server keeps for the replication slot",
            labels: ["slot"]
        ) { [weak self] in
            (self?.reading()?.slots ?? []).map { (["slot": $0.name], $0.bytes) }
        }
    }
}
