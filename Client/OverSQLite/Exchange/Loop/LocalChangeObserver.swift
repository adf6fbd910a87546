import GRDB
import Synchronization

/// Observes this process's commits that touch a synced row. The next exchange finds the commits of
/// other processes.
final class LocalChangeObserver: TransactionObserver, Sendable {
    private let onCommit: @Sendable () -> Void
    private let hasTouched = Mutex(false)

    init(onCommit: @escaping @Sendable () -> Void) { self.onCommit = onCommit }

    /// Observes only inserts into the log: the library's other writes to it are no reason to sync.
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
