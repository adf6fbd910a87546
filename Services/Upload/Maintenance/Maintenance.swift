import Foundation
import LogFields
import Logging
import Model
import Postgres
import ServiceKit
import ServiceLifecycle
import Sidecar
import Synchronization
import Telemetry
import WireJSON

/// Keeps the log short and looks after it, on a schedule: one of all Upload replicas does, the one
/// that has the lease (`Lease`).
///
/// A run compacts the logs, removes old failures, hydrations and rows of the audit, and verifies
/// the next users. It works as the maintenance role, in small transactions with pauses between.
struct Maintenance: Service {
    static let job = "maintenance"

    /// One works, and one renews the lease meanwhile.
    static let connections = 2

    struct Timing: Sendable {
        /// Between two looks whether a run is due.
        var look: Duration = .seconds(60)
        /// How long a lease is good: after that another replica goes on where a process was killed.
        var leaseSeconds: Int64 = 120
        /// Between two renewals of the lease.
        var renewal: Duration = .seconds(20)
        /// How long no replica begins again after a run that failed.
        var pauseAfterFailureSeconds: Int64 = 900
    }

    /// The lease could not be renewed: another replica has it.
    struct LeaseLost: Error {}

    let pool: PostgresPool
    let settings: MaintenanceSettings
    let metrics: MaintenanceMetrics
    let logger: Logger
    /// This process, as no other is called.
    let holder: String
    /// As the audit names this process.
    let host: String
    var timing = Timing()

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.runIfDue()
                try? await Task.sleep(for: self.timing.look)
            }
        }
    }

    /// Does the work, if it is due and no other replica does it.
    func runIfDue() async {
        let lease = Lease(of: Self.job, for: holder, seconds: timing.leaseSeconds)
        do {
            let position = try await pool.withConnection {
                try await lease.take(if: settings.pace, on: $0)
            }
            guard let position else { return }
            do {
                try await run(from: position, holding: lease)
            } catch {
                // Also when the process ends: the next one must not wait for the lease to expire.
                let pause = Task.isCancelled ? 0 : timing.pauseAfterFailureSeconds
                await Task.detached { [pool] in
                    try? await pool.withConnection {
                        try await lease.giveBack(after: pause, on: $0)
                    }
                }.value
                throw error
            }
        } catch {
            guard !Task.isCancelled else { return }
            metrics.failed()
            logger.warning(
                "maintenance did not end; it is tried again",
                metadata: .fields([.error: "\(error)"]))
        }
    }

    /// Works while the lease is renewed.
    private func run(from position: Int64, holding lease: Lease) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    try await Task.sleep(for: timing.renewal)
                    let isOurs = try await pool.withConnection { try await lease.renew(on: $0) }
                    guard isOurs else { throw LeaseLost() }
                }
            }
            group.addTask {
                try await pool.withConnection { try await work(from: position, lease, on: $0) }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func work(
        from position: Int64, _ lease: Lease, on connection: PostgresConnection
    ) async throws {
        let begin = ContinuousClock.now
        let trail = AuditTrail(.session(on: host))
        let removed = try await trail.record(
            .compact, of: "all users", ["scheduled": true], on: connection
        ) {
            let summary = try await Compactor(
                connection: connection, retention: settings.retention
            ).run(pace: { _ in try await pause() })
            return .init(summary, Self.details(summary))
        }
        try await pruneAudit(trail, on: connection)
        let differences = try await verify(from: position, lease, on: connection)
        try await lease.end(on: connection)
        metrics.done(removed, differences, after: .now - begin)
        logger.notice(
            "maintenance done",
            metadata: .fields([
                .milliseconds: .stringConvertible((.now - begin).milliseconds),
                .changes: .stringConvertible(removed.superseded + removed.tombstones),
                .problems: .stringConvertible(differences),
            ]))
    }

    /// Waits between two transactions.
    ///
    /// - Throws: `CancellationError` when the process ends or the lease is lost.
    private func pause() async throws {
        try Task.checkCancellation()
        if settings.pause > .zero { try await Task.sleep(for: settings.pause) }
    }

    private func pruneAudit(
        _ trail: AuditTrail, on connection: PostgresConnection
    ) async throws {
        guard let age = settings.auditAge else { return }
        try await pause()
        try await trail.record(.pruneAudit, of: "older than \(age) s", on: connection) {
            let rows = try await AuditLog(connection: connection).prune(olderThan: age)
            return .init((), ["rows": .integer(rows)])
        }
    }

    /// Verifies the next users.
    ///
    /// - Parameter position: the last scope that was verified.
    /// - Returns: how many differences there are.
    private func verify(
        from position: Int64, _ lease: Lease, on connection: PostgresConnection
    ) async throws -> Int64 {
        var differences: Int64 = 0
        var last = position
        for _ in 0..<settings.users {
            try await pause()
            let next = try await Scopes.next(after: last, on: connection)
            last = next?.id ?? 0
            // Before it is verified: a user whose data cannot be must not hold up all others.
            try await lease.record(last, on: connection)
            // The end: the next run begins again.
            guard let next else { break }
            var kinds: Set<String> = []
            let found = try await Verifier(connection: connection, user: next.user).run {
                kinds.formUnion($0.map(\.kind.rawValue))
            }.differences
            guard found > 0 else { continue }
            differences += found
            logger.error(
                "a user's log and tables differ: run oversync verify --user",
                metadata: .fields([
                    .user: .string(userHash(next.user)), .changes: .stringConvertible(found),
                    .reason: .string(kinds.sorted().joined(separator: " ")),
                ]))
        }
        return differences
    }

    private static func details(_ summary: Compactor.Summary) -> JSONDocument {
        [
            "users": .integer(Int64(summary.users)), "superseded": .integer(summary.superseded),
            "tombstones": .integer(summary.tombstones), "failures": .integer(summary.failures),
        ]
    }
}

/// What maintenance came to.
struct MaintenanceMetrics: Sendable {
    private let runs: Counter
    private let removed: Counter
    private let times: State

    /// What the last run of this process came to; nil before the first.
    private final class State: Sendable {
        struct Run {
            let end: Double
            let seconds: Double
            let differences: Int64
        }

        private let value = Mutex<Run?>(nil)

        var last: Run? { value.withLock { $0 } }

        func set(_ run: Run) { value.withLock { $0 = run } }
    }

    init(_ metrics: MetricsRegistry) {
        runs = metrics.counter(
            "oversync_maintenance_runs_total", "Runs of maintenance by this process, by outcome",
            labels: ["outcome"], known: [["outcome": "done"], ["outcome": "failed"]])
        removed = metrics.counter(
            "oversync_maintenance_removed_total", "What maintenance has removed, by kind",
            labels: ["kind"],
            known: ["superseded", "tombstones", "failures"].map { ["kind": $0] })
        let times = State()
        self.times = times
        // Without a run of this process there is nothing to tell.
        metrics.value(
            "oversync_maintenance_end_timestamp_seconds",
            "When this process last ended a run, in seconds since 1970"
        ) { times.last?.end }
        metrics.value(
            "oversync_maintenance_duration_seconds", "How long that run took, in seconds"
        ) { times.last?.seconds }
        metrics.value(
            "oversync_maintenance_differences",
            "Differences between log and tables that it found in the users that it verified"
        ) { times.last.map { Double($0.differences) } }
    }

    func failed() { runs.add(1, ["outcome": "failed"]) }

    func done(_ summary: Compactor.Summary, _ differences: Int64, after duration: Duration) {
        runs.add(1, ["outcome": "done"])
        for (kind, count) in [
            ("superseded", summary.superseded), ("tombstones", summary.tombstones),
            ("failures", summary.failures),
        ] {
            removed.add(Int(clamping: count), ["kind": kind])
        }
        times.set(
            State.Run(
                end: Date().timeIntervalSince1970, seconds: duration / .seconds(1),
                differences: differences))
    }
}
