import Glibc

/// Which users of the system may be at the other end of a socket, and what they may call there.
///
/// A client has only the users that its service runs as: it sends nothing to a process of another
/// one, whatever that has put into the directory.
package struct SocketPeers: Hashable, Sendable {
    /// What a user may call.
    package enum Methods: Hashable, Sendable {
        /// All but those of ``RPCAuthority``.
        case ordinary
        case all
        /// By their full names.
        case only(Set<String>)
    }

    /// Nil: the own user, and everything.
    private let grants: [UInt32: Methods]?

    /// The user of this process, with all methods.
    package static let ownUser = SocketPeers(grants: nil)

    private init(grants: [UInt32: Methods]?) { self.grants = grants }

    /// These users and no others; the own one is among them only if it is listed.
    package init(_ grants: [UInt32: Methods]) { self.grants = grants }

    func admits(_ user: UInt32) -> Bool {
        guard let grants else { return user == getuid() }
        return grants[user] != nil
    }

    /// - Parameter method: by its full name.
    func admits(_ user: UInt32, calling method: String) -> Bool {
        guard let grants else { return user == getuid() }
        return switch grants[user] {
        case .all: true
        case .ordinary: !RPCAuthority.methods.contains(method)
        case .only(let methods): methods.contains(method)
        case nil: false
        }
    }
}
