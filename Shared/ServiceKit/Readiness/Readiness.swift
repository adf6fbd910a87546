import Logging
import RPC
import ServiceLifecycle
import Synchronization

/// Whether this process can do its work: probes what it needs in the background, so that the question is answered
/// from memory at any time.
///
/// ``ReadinessRules`` holds the rules; this type asks the checks and passes news on.
package final class Readiness: Service {
    package typealias Listener = @Sendable (ServiceStatus) -> Void

    private struct State {
        var checks: [ReadinessCheck] = []
        var rules = ReadinessRules([])
        /// The last report.
        var told: ServiceStatus?
        var listeners: [Listener] = []
        var descriptions: [@Sendable () -> [String]] = []
    }

    /// The status before the first probe has answered.
    package static let starting = ServiceStatus.notReady("the process is starting")

    private let logger: Logger
    private let state = Mutex(State())

    package init(logger: Logger) {
        self.logger = logger
    }

    /// Sets what is probed. To be called before ``run()``.
    package func probe(_ checks: [ReadinessCheck]) {
        state.withLock { state in
            state.checks = checks
            state.rules = ReadinessRules(checks.map(\.name))
        }
    }

    /// Tells each change from now on. `listener` is called by one thread at a time, and must not wait.
    package func onChange(_ listener: @escaping Listener) {
        state.withLock { $0.listeners.append(listener) }
    }

    /// Adds lines that `/ready` shows in addition to the status. They say nothing about it, so they
    /// may change all the time.
    package func describe(_ lines: @escaping @Sendable () -> [String]) {
        state.withLock { $0.descriptions.append(lines) }
    }

    /// What ``describe(_:)`` has added, as it is now.
    package var details: [String] {
        state.withLock { $0.descriptions }.flatMap { $0() }
    }

    /// How it is now.
    package var status: ServiceStatus { state.withLock { $0.rules.status(now: .now) } }

    /// Probes until graceful shutdown; from then on the process is not ready.
    package func run() async throws {
        let checks = state.withLock { $0.checks }
        // Not a child that is waited for: a probe of a frozen database takes seconds to end, and until this returns
        // nothing else of the process begins to shut down.
        let probes = Task {
            await withDiscardingTaskGroup { group in
                for (number, check) in checks.enumerated() {
                    group.addTask { await self.watch(number, check) }
                }
            }
        }
        try? await gracefulShutdown()
        update { $0.stop() }
        probes.cancel()
    }

    private func watch(_ number: Int, _ check: ReadinessCheck) async {
        while !Task.isCancelled {
            update { $0.began(number, now: .now) }
            await withDiscardingTaskGroup { group in
                group.addTask {
                    // A probe that is late is news by itself.
                    guard (try? await Task.sleep(for: ReadinessCheck.limit)) != nil else { return }
                    self.update { _ in }
                }
                let problems = await check.probe()
                // What a cancelled probe found is no finding.
                if !Task.isCancelled { update { $0.answered(number, problems, now: .now) } }
                group.cancelAll()
            }
            // What is probed signals nothing by itself.
            try? await Task.sleep(for: ReadinessRules.interval)
        }
    }

    /// Changes what is known, and tells if the status is another one then.
    private func update(_ change: (inout ReadinessRules) -> Void) {
        state.withLock { state in
            change(&state.rules)
            let status = state.rules.status(now: .now)
            let before = state.told
            guard status != before else { return }
            state.told = status
            log(status, after: before)
            // Under the lock, so that no older status follows a newer one.
            for listener in state.listeners { listener(status) }
        }
    }

    private func log(_ status: ServiceStatus, after before: ServiceStatus?) {
        // How a process starts is no news; that it cannot is, as soon as it is known.
        guard before != nil || status.state == .ready else { return }
        logger.log(
            level: status.state == .ready ? .info : .warning, "\(status.state.rawValue)",
            metadata: status.problems.isEmpty
                ? nil : ["problems": .array(status.problems.map { "\($0)" })])
    }
}
