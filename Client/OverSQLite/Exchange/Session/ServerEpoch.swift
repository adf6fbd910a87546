import Synchronization

/// What is known of the server's history in this process.
enum ServerEpoch: Hashable, Sendable {
    /// It was not asked for yet.
    case unknown
    /// The server has none, as older ones.
    case none
    case known(String)
}

/// What is known of the server's history, for all that speak to it.
final class SharedEpoch: Sendable {
    private let epoch = Mutex(ServerEpoch.unknown)

    var current: ServerEpoch {
        get { epoch.withLock { $0 } }
        set { epoch.withLock { $0 = newValue } }
    }

    /// As requests name it.
    var name: String? {
        guard case .known(let name) = current else { return nil }
        return name
    }
}
