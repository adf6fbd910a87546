import LogFields
import Logging
import Model
import Postgres
import ServiceKit
import Synchronization
import Telemetry

/// Tables that take no rows: for the log, the metrics and the readiness of the service. Their rows
/// are answered `materialize_error`, and everything else is applied.
final class TableTroubles: Sendable {
    /// How long a table counts as one that takes no rows after it took none.
    private static let memory: Duration = .seconds(60)
    /// Tables that are remembered: as many as can be registered in earnest.
    private static let maximumTables = 1000

    private struct Trouble {
        let state: SQLState
        var at: ContinuousClock.Instant
    }

    private let counter: Counter
    private let labels = BoundedLabel()
    private let logger: Logger
    private let troubles = Mutex<[TableName: Trouble]>([:])

    init(metrics: MetricsRegistry, logger: Logger) {
        counter = metrics.counter(
            "oversync_upload_blocked_table_total",
            "Uploads that met a table that takes no rows, by table", labels: ["table"])
        self.logger = logger
    }

    /// An upload met these.
    func record(_ tables: [TableName: SQLState], now: ContinuousClock.Instant = .now) {
        for (table, state) in tables {
            counter.add(1, ["table": labels.value("\(table)")])
            let isNews = troubles.withLock { troubles in
                let before = troubles[table]
                if before != nil || troubles.count < Self.maximumTables {
                    troubles[table] = Trouble(state: state, at: now)
                }
                return before.map { $0.state != state || now - $0.at > Self.memory } ?? true
            }
            guard isNews else { continue }
            logger.warning(
                "a table takes no rows: its changes stay on the devices, others are applied",
                metadata: .fields([.table: "\(table)", .sqlState: "\(state.rawValue)"]))
        }
    }

    /// The tables that took no rows lately.
    func problems(now: ContinuousClock.Instant = .now) -> [ReadinessProblem] {
        troubles.withLock { troubles in
            troubles = troubles.filter { now - $0.value.at <= Self.memory }
            return troubles.map { table, trouble in
                .degrading(
                    "the table \(table) takes no rows: SQLSTATE \(trouble.state.rawValue) "
                        + "(\(trouble.state.meaning))")
            }
        }
    }
}
