import GRDB
import Synchronization

/// Sees commits of this process that touched a synced row. Other processes' commits are found at
/// the next exchange.
final class LocalChangeObserver: TransactionObserver, Sendable {
    private let onCommit: @Sendable () -> Void
    private let hasTouched = Mutex(false)

    init(onCommit: @escaping @Sendable () -> Void) { self.onCommit = onCommit }

    /// Only new touches: what the library itself does to the log is no news.
    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool {
        if case .insert("_sync_log") = eventKind { return true }
        return false
    }

    func databaseDidChange(with event: DatabaseEvent) {
        hasTouched.withLock { $0 = true }
        stopObservingDatabaseChangesUntilNextTransaction()
    }

    func databaseDidCommit(_ db: Database) {
        let hadTouched = hasTouched.withLock { touched in
            defer { touched = false }
            return touched
        }
        if hadTouched { onCommit() }
    }

    func databaseDidRollback(_ db: Database) { hasTouched.withLock { $0 = false } }
}
