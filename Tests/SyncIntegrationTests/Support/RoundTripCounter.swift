import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// Stands between a service and PostgreSQL, passes every byte on, and counts how often the service has waited
/// for an answer before it spoke again.
final class RoundTripCounter: Sendable {
    private static let socketName = "/.s.PGSQL.5432"

    /// A connection string like the one it was made for, which leads through here.
    let url: String
    private let line = Line()
    private let listener: any Channel
    private let folder: String

    /// Calls `body` with a counter before the server that a connection string with a socket folder names.
    static func with(_ url: String, _ body: (RoundTripCounter) async throws -> Void) async throws {
        let counter = try await RoundTripCounter(url)
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(counter)) } catch { outcome = .failure(error) }
        try await counter.listener.close()
        try FileManager.default.removeItem(atPath: counter.folder)
        try outcome.get()
    }

    private init(_ url: String) async throws {
        guard let at = url.firstIndex(of: "@"), let slash = url.lastIndex(of: "/"),
            let server = url[url.index(after: at)..<slash].removingPercentEncoding
        else { throw CocoaError(.coderInvalidValue) }
        let folder =
            FileManager.default.temporaryDirectory.path + "/trips-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let host = folder.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? folder
        self.folder = folder
        self.url = "\(url[...at])\(host)\(url[slash...])"
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { [line] client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            try server.pipeline.syncOperations.addHandler(
                                Relay(to: client) { line.serverSpoke() })
                        }
                    }
                    .connect(unixDomainSocketPath: server + Self.socketName)
                    .flatMapThrowing { server in
                        try client.pipeline.syncOperations.addHandler(
                            Relay(to: server) { line.clientSpoke() })
                    }
            }
            .bind(unixDomainSocketPath: folder + Self.socketName).get()
    }

    /// Round trips while `body` runs.
    func count(_ body: () async throws -> Void) async throws -> Int {
        let before = line.trips
        try await body()
        return line.trips - before
    }
}

/// Who spoke last.
private final class Line: Sendable {
    private let state = Mutex((trips: 0, isClientSpeaking: false))

    var trips: Int { state.withLock { $0.trips } }

    func clientSpoke() {
        state.withLock { state in
            if !state.isClientSpeaking { state.trips += 1 }
            state.isClientSpeaking = true
        }
    }

    func serverSpoke() { state.withLock { $0.isClientSpeaking = false } }
}

/// Passes on what it reads.
private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: any Channel
    private let saw: () -> Void

    init(to peer: any Channel, saw: @escaping () -> Void) {
        self.peer = peer
        self.saw = saw
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        saw()
        peer.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        peer.close(promise: nil)
    }
}
