import Foundation
import Glibc
import NIOCore
import NIOPosix
import Programs
import Protos
import Synchronization
import Testing

@testable import RPC

/// Users of the system at both ends of a socket. As root another process is another user's;
/// elsewhere it is the own user's, and the lists say of that one what they otherwise say of
/// another.
@Suite("Peers of a socket", .timeLimit(.minutes(1)))
struct PeerTests {
    private static let other: UInt32 = getuid() == 0 ? 65_534 : getuid()
    /// Nobody here.
    private static let absent: UInt32 = 4_000_000

    let directory = RunDirectory()

    private func server(_ peers: SocketPeers, _ events: RecordedEvents) -> RPCServer {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, body, _ in RPCReply(PushChangesReply(), body: body) }
        router.on(UploadRPC.readCapabilities) { _, _, _ in RPCReply(ReadCapabilitiesReply()) }
        router.on(UploadRPC.listFailures) { _, _, _ in RPCReply(ListFailuresReply()) }
        var limits = RPCLimits()
        limits.peers = peers
        return RPCServer(
            directory: directory.path, replica: "one", router: router, limits: limits,
            logger: quiet, observer: events)
    }

    /// What a process of the other user is answered: PushChanges, ReadCapabilities, ListFailures.
    private func answers() async throws -> [String] {
        #expect(chmod(directory.path, 0o777) == 0)
        #expect(chmod("\(directory.path)/one.sock", 0o777) == 0)
        var arguments = ["--call", directory.path, "\(getuid())"]
        if getuid() == 0 { arguments.append("\(Self.other)") }
        let program = Program(try ReplicaProcess.executable(), arguments)
        let (status, text) = try await program.result(within: .seconds(30))
        #expect(status == 0)
        return text.split(separator: "\n").map(String.init)
    }

    @Test("A process of a listed user may call what its list says, and no other user connects")
    func listed() async throws {
        func refused(_ method: String) -> String {
            "This process may not call oversync.upload.v1.\(method) here"
        }
        let cases: [(methods: SocketPeers.Methods, answers: [String])] = [
            (.all, ["answered", "answered", "answered"]),
            (.ordinary, ["answered", "answered", refused("ListFailures")]),
            (
                .only([UploadRPC.listFailures.name, UploadRPC.pushChanges.name]),
                ["answered", refused("ReadCapabilities"), "answered"]
            ),
            (.only([]), ["PushChanges", "ReadCapabilities", "ListFailures"].map(refused)),
        ]
        for (methods, expected) in cases {
            let events = RecordedEvents()
            let peers = SocketPeers([Self.other: methods, Self.absent: .all])
            try await withServices([server(peers, events)]) { _ in
                await events.listening()
                let found = try await answers()
                #expect(found == expected)
                let told = events.count { if case .callRefused = $0 { true } else { false } }
                #expect(told == expected.count { $0 != "answered" })
            }
        }
    }

    @Test("A process whose user is not listed is not served, whoever owns the socket")
    func unlisted() async throws {
        let events = RecordedEvents()
        try await withServices([server(SocketPeers([Self.absent: .all]), events)]) { _ in
            await events.listening()
            let found = try await answers()
            #expect(found.count == 3 && !found.contains("answered"), "\(found)")
            await events.first { event in
                if case .peerRefused(Self.other) = event { true } else { false }
            }
            let handled = events.count { if case .callHandled = $0 { true } else { false } }
            #expect(handled == 0)
        }
    }

    @Test("A client calls a replica of the user that its service runs as")
    func service() async throws {
        #expect(mkdir(directory.path, 0o777) == 0)
        #expect(chmod(directory.path, 0o777) == 0)
        let isRoot = getuid() == 0
        let replica = try await ReplicaProcess(
            "one", in: directory, user: isRoot ? Self.other : nil)
        var limits = RPCLimits()
        // The replica lets in its own user alone, so as root its caller is another process.
        limits.peers = SocketPeers([Self.other: .all])
        if isRoot {
            let program = Program(
                try ReplicaProcess.executable(),
                ["--call", directory.path, "\(Self.other)", "\(Self.other)"])
            let (_, text) = try await program.result(within: .seconds(30))
            #expect(text.hasPrefix("answered"))
        } else {
            let client = RPCClient(
                directory: directory.path, service: "test", limits: limits, logger: quiet)
            try await withServices([client]) { _ in
                _ = try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(), context: context())
            }
        }
        withExtendedLifetime(replica) {}
    }

    /// ```
    /// planted   listens in the directory of the service ─── is connected to ─── not one byte
    /// client    expects another user there ─ asks the kernel ─ hangs up
    /// ```
    @Test("A planted socket gets no traffic")
    func planted() async throws {
        #expect(mkdir(directory.path, 0o700) == 0)
        let received = Mutex(0)
        let hungUp = Gate()
        let socket = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.closeFuture.whenComplete { _ in hungUp.open() }
                return channel.pipeline.addHandler(
                    ByteCounter { count in received.withLock { $0 += count } })
            }
            .bind(unixDomainSocketPath: "\(directory.path)/one.sock").get()
        var limits = RPCLimits()
        limits.peers = SocketPeers([Self.absent: .all])
        limits.replicaWait = .milliseconds(300)
        let events = RecordedEvents()
        let client = RPCClient(
            directory: directory.path, service: "test", limits: limits, logger: quiet,
            observer: events)
        try await withServices([client]) { _ in
            await events.first { event in
                if case .peerRefused(getuid()) = event { true } else { false }
            }
            await hungUp.wait()
            await #expect(throws: RPCFailure.self) {
                _ = try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(), context: context())
            }
            #expect(!client.isReady)
        }
        #expect(received.withLock { $0 } == 0)
        try await socket.close().get()
    }

    private final class ByteCounter: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let add: @Sendable (Int) -> Void
        init(_ add: @escaping @Sendable (Int) -> Void) { self.add = add }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            add(unwrapInboundIn(data).readableBytes)
        }
    }
}
