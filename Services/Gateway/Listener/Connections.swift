import Model
import NIOCore
import Synchronization

/// Keeps the connections within their limits, as `ConnectionBook` says.
final class Connections: Sendable {
    private struct State {
        var book: ConnectionBook
        var open: [ConnectionBook.ID: Open] = [:]
    }

    private struct Open {
        let channel: any Channel
        let peer: Peer
    }

    private let state: Mutex<State>
    private let refusals: GatewayRefusals

    init(_ limits: ConnectionBook.Limits, refusals: GatewayRefusals) {
        state = Mutex(State(book: ConnectionBook(limits)))
        self.refusals = refusals
    }

    /// Connections that are open.
    var open: Int { state.withLock { $0.book.count } }

    /// A connection has come; it, or another, is closed if there are too many.
    func open(_ channel: any Channel) -> Peer {
        let address = PeerAddress(channel.remoteAddress)
        let (peer, verdict, victim) = state.withLock { state in
            let (id, verdict) = state.book.open(from: address)
            let peer = Peer(connections: self, id: id, address: address)
            if verdict != .refused { state.open[id] = Open(channel: channel, peer: peer) }
            guard case .replaces(let other) = verdict else { return (peer, verdict, nil as Open?) }
            return (peer, verdict, state.open.removeValue(forKey: other))
        }
        switch verdict {
        case .stays: break
        case .replaces: refusals.count(.silentConnection)
        case .refused:
            refusals.count(.connection)
            channel.cut()
        }
        victim?.channel.cut()
        if verdict != .refused { channel.closeFuture.whenComplete { _ in self.closed(peer.id) } }
        return peer
    }

    /// Closes a silent connection, as there is no file left for a new one.
    func makeRoom() {
        let victim = state.withLock { state in
            state.book.makeRoom().flatMap { state.open.removeValue(forKey: $0) }
        }
        guard let victim else { return refusals.count(.connection) }
        refusals.count(.silentConnection)
        victim.channel.cut()
    }

    private func closed(_ id: ConnectionBook.ID) {
        state.withLock { state in
            state.book.close(id)
            state.open[id] = nil
        }
    }

    fileprivate func prove(_ id: ConnectionBook.ID, _ user: UserID) {
        state.withLock { state in
            guard let silenced = state.book.prove(id, user: user) else { return }
            // Its next request proves it again.
            state.open[silenced]?.peer.beSilent()
        }
    }
}

/// A client's connection, as the requests that come by it know it.
final class Peer: Sendable {
    let address: PeerAddress
    fileprivate let id: ConnectionBook.ID
    private let connections: Connections
    private let isProved = Atomic(false)
    private let shown = Mutex<ClientCertificate?>(nil)

    /// What the client has shown a certificate of, if it has.
    var certificate: ClientCertificate? { shown.withLock { $0 } }

    fileprivate init(connections: Connections, id: ConnectionBook.ID, address: PeerAddress) {
        self.connections = connections
        self.id = id
        self.address = address
    }

    /// A request came with a good token of this user.
    func prove(_ user: UserID) {
        // Only the first time is more than this one look.
        guard !isProved.load(ordering: .relaxed) else { return }
        guard !isProved.exchange(true, ordering: .relaxed) else { return }
        connections.prove(id, user)
    }

    /// The client's certificate was verified. Comes before its first request.
    func show(_ certificate: ClientCertificate?) { shown.withLock { $0 = certificate } }

    fileprivate func beSilent() { isProved.store(false, ordering: .relaxed) }
}
