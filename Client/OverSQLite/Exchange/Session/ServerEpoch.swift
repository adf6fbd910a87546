import Synchronization

/// What this process knows about the server's epoch.
enum ServerEpoch: Hashable, Sendable {
    /// Not asked for yet.
    case unknown
    /// The server is older and has no epochs.
    case none
    case known(String)
}

/// The server's epoch, shared by everything that talks to the server.
final class SharedEpoch: Sendable {
    private let epoch = Mutex(ServerEpoch.unknown)

    var current: ServerEpoch {
        get { epoch.withLock { $0 } }
        set { epoch.withLock { $0 = newValue } }
    }

    /// The epoch to send with requests; nil if none is known.
    var name: String? {
        guard case .known(let name) = current else { return nil }
        return name
    }
}
