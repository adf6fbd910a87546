import Foundation
import Synchronization

/// The current status, and everyone who follows the status or the events.
final class StatusBoard: Sendable {
    /// Events kept for a follower who does not read them. Older ones are dropped.
    static let eventBuffer = 1000

    private struct State {
        var status = SyncStatus()
        var followers: [UInt64: AsyncStream<SyncStatus>.Continuation] = [:]
        var listeners: [UInt64: AsyncStream<SyncEvent>.Continuation] = [:]
        var nextID: UInt64 = 0

        mutating func newID() -> UInt64 {
            nextID += 1
            return nextID
        }
    }

    private let state = Mutex(State())
    private let log: SyncLog
    #if canImport(Observation)
        /// The status for views.
        let observed = ObservedStatus()
    #endif

    init(log: SyncLog = SyncLog(nil)) { self.log = log }

    var status: SyncStatus { state.withLock { $0.status } }

    /// Changes the status and notifies followers if it differs.
    func update(_ change: (inout SyncStatus) -> Void) {
        let news: (before: SyncStatus, after: SyncStatus)? = state.withLock { state in
            let before = state.status
            change(&state.status)
            guard state.status != before else { return nil }
            for follower in state.followers.values { follower.yield(state.status) }
            return (before, state.status)
        }
        if let news { log.write(news.after, after: news.before) }
        #if canImport(Observation)
            observed.changed(self)
        #endif
    }

    /// Replaces the notices of these kinds.
    func show(_ notices: [SyncNotice], of kinds: Set<SyncNotice.Kind>) {
        update { status in
            let others = status.notices.filter { !kinds.contains($0.kind) }
            let shown = status.notices.filter { kinds.contains($0.kind) }
            if shown != notices { status.notices = others + notices }
        }
    }

    /// Adds notices to those that are shown.
    func add(_ notices: [SyncNotice]) {
        guard !notices.isEmpty else { return }
        update { status in
            status.notices += notices.filter { !status.notices.contains($0) }
        }
    }

    func show(_ notice: SyncNotice?, of kind: SyncNotice.Kind) {
        show(notice.map { [$0] } ?? [], of: [kind])
    }

    func post(_ events: [SyncEvent]) {
        guard !events.isEmpty else { return }
        for event in events { log.write(event) }
        state.withLock { state in
            for listener in state.listeners.values {
                for event in events { listener.yield(event) }
            }
        }
    }

    /// The current status and each later one. A slow reader receives the newest.
    func follow() -> AsyncStream<SyncStatus> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: SyncStatus.self, bufferingPolicy: .bufferingNewest(1))
        let id = state.withLock { state in
            let id = state.newID()
            continuation.yield(state.status)
            state.followers[id] = continuation
            return id
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.followers.removeValue(forKey: id) }
        }
        return stream
    }

    /// Ends every stream handed out so far.
    func finish() {
        let streams = state.withLock { state in
            defer { (state.followers, state.listeners) = ([:], [:]) }
            return (state.followers, state.listeners)
        }
        for follower in streams.0.values { follower.finish() }
        for listener in streams.1.values { listener.finish() }
    }

    func listen() -> AsyncStream<SyncEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: SyncEvent.self, bufferingPolicy: .bufferingNewest(Self.eventBuffer))
        let id = state.withLock { state in
            let id = state.newID()
            state.listeners[id] = continuation
            return id
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.listeners.removeValue(forKey: id) }
        }
        return stream
    }
}
