import NIOCore
import NIOPosix
import Protos
import ServiceLifecycle
import Synchronization
import Testing

@testable import RPC

/// A server that shuts down, and clients that do not do as they are asked.
@Suite(.timeLimit(.minutes(1)))
struct DrainTests {
    /// Far less than a drain may take when a client has calls in flight.
    private static let promptly: Duration = .seconds(5)

    let directory = RunDirectory()

    private func server(
        limits: RPCLimits = RPCLimits(), events: RecordedEvents = RecordedEvents(),
        onDrain: @escaping @Sendable () -> Void = {},
        push: @escaping @Sendable () async -> Void = {}
    ) -> RPCServer {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            await push()
            return RPCReply(PushChangesReply())
        }
        return RPCServer(
            directory: directory.path, replica: "one", router: router, limits: limits,
            logger: quiet, observer: events, onDrain: onDrain)
    }

    /// Lends a connection on which the test itself speaks, once the server listens.
    private func withConnection(
        _ events: RecordedEvents, _ body: (Speaker) async throws -> Void
    ) async throws {
        await events.first { if case .listening = $0 { true } else { false } }
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(unixDomainSocketPath: directory.path + "/one.sock") { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        // A connection that the kernel holds for a listener that closes is reset.
        await events.first { if case .connectionAccepted = $0 { true } else { false } }
        try await channel.executeThenClose { inbound, outbound in
            try await body(Speaker(inbound: inbound.makeAsyncIterator(), outbound: outbound))
        }
    }

    /// ```
    /// server   ─ call 1 … ─ SIGTERM ─ GO_AWAY ───────────── draining ─ … answer 1 ─ closes
    /// client   call 1 ────────────────────────── call 2 ──────────────────────────────────
    /// ```
    @Test func `a call that comes too late is not begun, and its client is told so`() async throws {
        let (begun, finish, calls) = (Gate(), Gate(), Tally())
        let events = RecordedEvents()
        let late = RPCLimits.with { $0.crossingTime = .zero }
        let server = server(
            limits: late, events: events,
            push: {
                calls.add()
                begun.open()
                await finish.wait()
            })
        let start = Mutex(ContinuousClock.now)
        try await withServices([server]) { group in
            try await withConnection(events) { speaker in
                var speaker = speaker
                try await speaker.call(1)
                await begun.wait()
                await group.triggerGracefulShutdown()
                let goodbye = try await speaker.next()
                #expect(goodbye?.kind == .goAway)
                try await speaker.call(2)
                let refusal = try await speaker.next()
                #expect(refusal?.callID == 2)
                #expect(refusal.map { RPCFailure(wire: $0.failure) } == .draining)
                start.withLock { $0 = .now }
                finish.open()
                let answer = try await speaker.next()
                #expect(answer?.callID == 1 && answer?.hasFailure == false)
                // This client keeps its connection; the server does not wait for it.
                #expect(try await speaker.next() == nil)
            }
        }
        #expect(ContinuousClock.now - start.withLock { $0 } < Self.promptly)
        #expect(calls.value == 1)
    }

    @Test func `a client that does nothing does not hold up the end`() async throws {
        let events = RecordedEvents()
        let start = Mutex(ContinuousClock.now)
        try await withServices([server(events: events)]) { group in
            try await withConnection(events) { speaker in
                var speaker = speaker
                start.withLock { $0 = .now }
                await group.triggerGracefulShutdown()
                let goodbye = try await speaker.next()
                #expect(goodbye?.kind == .goAway)
                #expect(try await speaker.next() == nil)
            }
        }
        #expect(ContinuousClock.now - start.withLock { $0 } < Self.promptly)
    }

    @Test func `the service hears of the end before any client does`() async throws {
        let (told, events) = (Gate(), RecordedEvents())
        try await withServices([server(events: events, onDrain: { told.open() })]) { group in
            try await withConnection(events) { speaker in
                var speaker = speaker
                await group.triggerGracefulShutdown()
                let goodbye = try await speaker.next()
                #expect(goodbye?.kind == .goAway)
                #expect(told.isOpen)
                #expect(try await speaker.next() == nil)
            }
        }
    }

    @Test func `a call that was not begun waits for the successor`() async throws {
        let (stop, calls, failures) = (Gate(), Tally(), Tally())
        // Whatever crosses the goodbye is refused: none is lost by that.
        let limits = RPCLimits.with { $0.crossingTime = .zero }
        let client = RPCClient(directory: directory.path, service: "test", logger: quiet)
        try await withServices([client]) { _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        while !stop.isOpen {
                            let failed = await failure {
                                try await client.call(
                                    UploadRPC.pushChanges, PushChangesRequest(), context: context())
                            }
                            if failed != nil, !stop.isOpen { failures.add() }
                            calls.add()
                        }
                    }
                }
                for _ in 0..<8 {
                    let before = calls.value
                    try await withServices([server(limits: limits)]) { _ in
                        try await eventually { calls.value > before + 200 }
                    }
                }
                stop.open()
                try await group.waitForAll()
            }
        }
        #expect(failures.value == 0)
    }
}

/// The client's end of a connection, frame by frame.
private struct Speaker {
    var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var decoder = FrameDecoder(limit: RPCLimits().maximumFrameBytes)

    init(
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.inbound = inbound
        self.outbound = outbound
    }

    func call(_ id: UInt32) async throws {
        var header = context().header(method: UploadRPC.pushChanges.name, now: .now)
        header.callID = id
        let (head, _) = try Frame(header: header).encode(
            limit: RPCLimits().maximumFrameBytes, allocator: ByteBufferAllocator())
        try await outbound.write(head)
    }

    /// The next frame's header; nil when the server has closed.
    mutating func next() async throws -> WireFrameHeader? {
        while true {
            if let frame = try decoder.next() { return frame.header }
            guard let bytes = try await inbound.next() else { return nil }
            decoder.append(bytes)
        }
    }
}
