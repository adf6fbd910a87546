import Synchronization

/// Says to a task, and to those it begins, that the session's lock is theirs, so that an import may
/// pause once more, or sign somebody in, and does not wait for itself.
final class Hold: Sendable {
    /// What this task holds, of one engine or of several.
    @TaskLocal static var mine: [Hold] = []

    private let session: ObjectIdentifier
    /// A task that was begun meanwhile may go on for longer.
    private let isOver = Mutex(false)

    private init(of session: SyncSession) { self.session = ObjectIdentifier(session) }

    static func isMine(_ session: SyncSession) -> Bool {
        mine.contains { $0.session == ObjectIdentifier(session) && !$0.isOver.withLock { $0 } }
    }

    /// Runs `body`, whose caller has the lock.
    nonisolated(nonsending) static func during<Value>(
        of session: SyncSession, _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let hold = Hold(of: session)
        defer { hold.isOver.withLock { $0 = true } }
        return try await $mine.withValue(mine + [hold]) { try await body() }
    }
}

extension SyncSession {
    /// Runs `body` with no exchange under way; at once if this task sees to that already.
    nonisolated(nonsending) func exclusively<Value: Sendable>(
        _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        if Hold.isMine(self) { return try await body() }
        return try await lock.locked { try await Hold.during(of: self, body) }
    }
}
