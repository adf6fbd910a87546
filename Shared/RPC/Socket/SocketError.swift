/// Why a socket could not be set up.
package enum SocketError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another living process serves under this name.
    case ownedByAnother(path: String)
    /// The kernel takes at most 107 bytes.
    case pathTooLong(path: String)
    /// A replica's name is part of a path: letters, digits, dot, dash, underscore.
    case invalidReplicaName(String)
    case system(operation: String, path: String, errno: Int32)

    package var description: String {
        switch self {
        case .ownedByAnother(let path):
            "another running replica owns \(path); end it, or give this one another name"
        case .pathTooLong(let path):
            "the socket path \(path) has \(path.utf8.count) bytes, the system allows "
                + "\(SocketPath.maximumBytes); choose a shorter directory or replica name"
        case .invalidReplicaName(let name):
            "\(name.debugDescription) is no replica name: 1 to 64 of A-Z a-z 0-9 . _ -"
        case .system(let operation, let path, let code):
            "\(operation) \(path): \(systemMessage(code))"
        }
    }
}
