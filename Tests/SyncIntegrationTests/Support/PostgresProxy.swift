import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// Stands between a service and PostgreSQL: counts how often the service has waited for an answer before it spoke
/// again, and keeps back what a test wants PostgreSQL to wait for.
final class PostgresProxy: Sendable {
    /// What passes, and what has passed.
    private struct State {
        var holds = 0
        var endedSessions = 0
        var roundTrips = 0
        var answeredBytes = 0
        var isClientSpeaking = false
    }

    /// Bytes of what PostgreSQL says when it ends a session, at most: answers of rows are not searched for it.
    private static let longestFarewell = 4096

    private static let socketName = ".s.PGSQL.5432"

    /// Of the socket, as a connection string's host.
    let directory: String
    /// What a held message contains, such as a statement's name; nil holds nothing.
    private let held: [UInt8]?
    private let server: String
    private let state: Mutex<State>

    private typealias Duplex = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// - Parameters:
    ///   - holds: how many messages are kept back, each until PostgreSQL has ended its session.
    private init(server: String, holding text: String?, times holds: Int) throws {
        self.server = server + "/" + Self.socketName
        directory = "/tmp/oversync-proxy-\(UInt32.random(in: 0 ... .max))"
        held = text.map { Array($0.utf8) }
        state = Mutex(State(holds: holds))
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
    }

    /// Sessions that PostgreSQL has ended because they paused in a transaction.
    var endedSessions: Int { state.withLock { $0.endedSessions } }

    /// Bytes that PostgreSQL has sent and the service has taken.
    var answeredBytes: Int { state.withLock { $0.answeredBytes } }

    /// Round trips while `body` runs.
    func roundTrips(_ body: () async throws -> Void) async throws -> Int {
        let before = state.withLock { $0.roundTrips }
        try await body()
        return state.withLock { $0.roundTrips } - before
    }

    /// Runs a proxy for the server whose socket is in `server`.
    static func with(
        server: String, holding text: String? = nil, times: Int = 0,
        _ body: @Sendable @escaping (PostgresProxy) async throws -> Void
    ) async throws {
        let proxy = try PostgresProxy(server: server, holding: text, times: times)
        defer { try? FileManager.default.removeItem(atPath: proxy.directory) }
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(unixDomainSocketPath: proxy.directory + "/" + socketName) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Duplex(wrappingChannelSynchronously: channel)
                }
            }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await listener.executeThenClose { clients in
                    await withDiscardingTaskGroup { connections in
                        do {
                            for try await client in clients {
                                connections.addTask { try? await proxy.forward(client) }
                            }
                        } catch {}
                    }
                }
                return false
            }
            group.addTask {
                try await body(proxy)
                return true
            }
            while let isDone = try await group.next(), !isDone {}
            group.cancelAll()
        }
    }

    /// Passes bytes both ways until one side has ended.
    private func forward(_ client: Duplex) async throws {
        let upstream = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(unixDomainSocketPath: server) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Duplex(wrappingChannelSynchronously: channel)
                }
            }
        try await client.executeThenClose { questions, toClient in
            try await upstream.executeThenClose { answers, toServer in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await bytes in questions {
                            // What is held is never sent: the other direction's end ends this one.
                            if self.holds(bytes) {
                                return try await Task.sleep(for: .seconds(3600))
                            }
                            self.noteQuestion()
                            try await toServer.write(bytes)
                        }
                    }
                    group.addTask {
                        for try await bytes in answers {
                            self.note(bytes)
                            try await toClient.write(bytes)
                        }
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        }
    }

    private func holds(_ bytes: ByteBuffer) -> Bool {
        guard let held, bytes.readableBytesView.firstRange(of: held) != nil else { return false }
        return state.withLock { state in
            state.holds -= 1
            return state.holds >= 0
        }
    }

    private func noteQuestion() {
        state.withLock { state in
            if !state.isClientSpeaking { state.roundTrips += 1 }
            state.isClientSpeaking = true
        }
    }

    private func note(_ bytes: ByteBuffer) {
        let hasEnded =
            bytes.readableBytes <= Self.longestFarewell
            && bytes.readableBytesView.firstRange(of: Array("25P03".utf8)) != nil
        state.withLock { state in
            state.isClientSpeaking = false
            state.answeredBytes += bytes.readableBytes
            if hasEnded { state.endedSessions += 1 }
        }
    }
}
