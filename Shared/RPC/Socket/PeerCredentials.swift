import Glibc
import NIOCore

/// Who is at the other end of a Unix socket, as the kernel recorded it when it was connected.
struct PeerCredentials: Hashable, Sendable {
    let user: UInt32

    /// Asks the kernel.
    static func of(_ channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        guard let options = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return options.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
        ).map { (credentials: KernelCredentials) in PeerCredentials(user: credentials.user) }
    }
}

/// The kernel's `struct ucred`, which Glibc shows to Swift only with GNU extensions.
private struct KernelCredentials: Sendable {
    var process: Int32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
}

/// The process at the other end belongs to a user that is not allowed.
struct PeerRefused: Error, Hashable, CustomStringConvertible {
    let user: UInt32

    var description: String { "user \(user) is not allowed at the other end" }
}

extension Channel {
    /// Fails with `PeerRefused` unless the limits allow the user at the other end.
    func checkPeer(
        _ limits: RPCLimits, events: RPCEventSink
    ) -> EventLoopFuture<PeerCredentials> {
        PeerCredentials.of(self).flatMapThrowing { peer in
            guard limits.peers.admits(peer.user) else {
                events(.peerRefused(user: peer.user))
                throw PeerRefused(user: peer.user)
            }
            return peer
        }
    }
}
