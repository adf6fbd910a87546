import OverSQLite
import Synchronization

/// What an engine reports though nothing of the kind may happen.
final class Alarms: Sendable {
    /// Texts that are kept.
    private static let most = 10

    private let seen = Mutex<[String]>([])

    var texts: [String] { seen.withLock { $0 } }

    func see(_ event: SyncEvent) {
        switch event {
        // All edit some rows at once.
        case .conflict: return
        case .rejected, .reread, .drift, .access:
            seen.withLock { if $0.count < Self.most { $0.append("\(event)") } }
        }
    }
}
