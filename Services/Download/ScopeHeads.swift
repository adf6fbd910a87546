import Logging
import Model
import Postgres
import ServiceLifecycle
import Synchronization

/// Tells waiting downloads that their user's log has grown.
///
/// One statement asks for all users at once, and only while somebody waits.
final class ScopeHeads: Service {
    /// Longest time between a commit and its being noticed, beside the statement's own.
    static let pollInterval: Duration = .milliseconds(500)

    private struct Waiter {
        let user: UserID
        let beyond: Sequence64
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var nextID = 0
        var waiters: [Int: Waiter] = [:]
        var isClosed = false
    }

    private let pool: PostgresPool
    private let logger: Logger
    private let state = Mutex(State())

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Callers that wait now.
    var waiting: Int { state.withLock { $0.waiters.count } }

    /// Waits until the user's last sequence is beyond `beyond`.
    ///
    /// - Returns: false when the time is over or the service stops; throws when the caller goes away.
    func wait(
        for user: UserID, beyond: Sequence64, until end: ContinuousClock.Instant
    ) async throws -> Bool {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { await self.park(id, user, beyond) }
            group.addTask {
                try await Task.sleep(until: end, clock: .continuous)
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
    }

    private func park(_ id: Int, _ user: UserID, _ beyond: Sequence64) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = Waiter(user: user, beyond: beyond, continuation: continuation)
                let isParked = state.withLock { state in
                    // Cancelled before this line: the handler found nobody to release.
                    if state.isClosed || Task.isCancelled { return false }
                    state.waiters[id] = waiter
                    return true
                }
                if !isParked { continuation.resume(returning: false) }
            }
        } onCancel: {
            release(id, with: false)
        }
    }

    private func release(_ id: Int, with answer: Bool) {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume(
            returning: answer)
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.poll()
                try? await Task.sleep(for: Self.pollInterval)
            }
        }
        let left = state.withLock { state in
            state.isClosed = true
            return Array(state.waiters.keys)
        }
        for id in left { release(id, with: false) }
    }

    private func poll() async {
        let users = state.withLock { Set($0.waiters.values.map(\.user)) }
        guard !users.isEmpty else { return }
        do {
            let heads = try await read(users)
            let ready = state.withLock { state in
                state.waiters.filter { heads[$0.value.user, default: 0] > $0.value.beyond }
            }
            for id in ready.keys { release(id, with: true) }
        } catch {
            logger.warning("the last sequences could not be read", metadata: ["error": "\(error)"])
        }
    }

    private func read(_ users: Set<UserID>) async throws -> [UserID: Sequence64] {
        var names = ArrayBinding(of: .text, reserving: users.count)
        for user in users { names.append(user.value) }
        var bindings = Bindings()
        bindings.bind(names)
        let command = Command(DownloadStatements.readHeads, bindings)
        let result = try await pool.withConnection { try await $0.run(command) }
        var heads: [UserID: Sequence64] = [:]
        for row in 0..<result.rowCount {
            heads[UserID(try result.string(row, 0))] = try result.int64(row, 1)
        }
        return heads
    }
}
