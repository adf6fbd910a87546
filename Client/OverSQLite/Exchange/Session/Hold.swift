import Synchronization

/// Marks a task and its child tasks as holders of the session's lock. Inside `withSyncPaused`, the
/// app can then pause again or sign in without waiting for itself.
final class Hold: Sendable {
    /// The holds of this task, of one engine or several.
    @TaskLocal static var mine: [Hold] = []

    private let session: ObjectIdentifier
    /// True once `body` has returned. A task started inside it may run for longer.
    private let isOver = Mutex(false)

    private init(of session: SyncSession) { self.session = ObjectIdentifier(session) }

    static func isMine(_ session: SyncSession) -> Bool {
        mine.contains { $0.session == ObjectIdentifier(session) && !$0.isOver.withLock { $0 } }
    }

    /// Runs `body`. The caller holds the lock.
    nonisolated(nonsending) static func during<Value>(
        of session: SyncSession, _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let hold = Hold(of: session)
        defer { hold.isOver.withLock { $0 = true } }
        return try await $mine.withValue(mine + [hold]) { try await body() }
    }
}

extension SyncSession {
    /// Runs `body` while no exchange is running; at once if this task already holds the lock.
    nonisolated(nonsending) func exclusively<Value: Sendable>(
        _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        if Hold.isMine(self) { return try await body() }
        return try await lock.locked { try await Hold.during(of: self, body) }
    }
}
