import Foundation
import NIOCore
import NIOPosix
import Protos
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Testing

@testable import RPC

/// What replicas say of themselves, and what their clients make of it.
@Suite(.timeLimit(.minutes(1)), .serialized)
struct StatusTests {
    let directory = RunDirectory()

    private func server(
        _ name: String, hello: RPCHello = RPCHello(), status: ServiceStatus = .ready
    ) -> RPCServer {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            RPCReply(PushChangesReply(), body: ByteBuffer(string: name))
        }
        return RPCServer(
            directory: directory.path, replica: name, router: router, hello: hello, status: status,
            logger: quiet)
    }

    private func client(
        hello: RPCHello = RPCHello(), events: RecordedEvents = RecordedEvents()
    ) -> RPCClient {
        RPCClient(
            directory: directory.path, service: "test", hello: hello, logger: quiet,
            observer: events)
    }

    private func push(_ client: RPCClient) async throws -> String {
        let reply = try await client.call(
            UploadRPC.pushChanges, PushChangesRequest(), context: context())
        return String(buffer: reply.body)
    }

    private func problems(_ client: RPCClient) -> [String: [String]] {
        Dictionary(uniqueKeysWithValues: client.replicas.map { ($0.name, $0.status.problems) })
    }

    @Test func `calls go to ready replicas, and to another only while there is none`() async throws
    {
        let one = server("one", status: .notReady("starting"))
        let two = server("two")
        let client = client()
        try await withServices([one, two, client]) { _ in
            try await eventually { client.replicas.count == 2 }
            #expect(problems(client) == ["one": ["starting"], "two": []])
            #expect(client.isReady)
            for _ in 0..<10 { #expect(try await push(client) == "two") }
            two.publish(.notReady("no database"))
            try await eventually { !client.isReady }
            #expect(problems(client) == ["one": ["starting"], "two": ["no database"]])
            // They answer for themselves.
            #expect(["one", "two"].contains(try await push(client)))
            one.publish(ServiceStatus(.degraded, problems: ["a table"]))
            try await eventually { client.isReady }
            for _ in 0..<10 { #expect(try await push(client) == "one") }
        }
    }

    @Test func `a status is told to clients that connect later, too, and on every connection`()
        async throws
    {
        let one = server("one")
        try await withServices([one]) { _ in
            one.publish(.notReady("early"))
            let client = client()
            try await withServices([client]) { _ in
                try await eventually { client.replicas.first?.status.problems == ["early"] }
                #expect(!client.isReady)
                one.publish(.ready)
                try await eventually { client.isReady }
                // Many in a row: the last one stays.
                for number in 0..<100 { one.publish(.notReady("\(number)")) }
                try await eventually { client.replicas.first?.status.problems == ["99"] }
            }
        }
    }

    @Test func `a replica that does not work with the client is not used, and told once`()
        async throws
    {
        var newer = RPCHello(productVersion: "9.0.0", layout: 12)
        newer.rpcVersion = 7
        newer.oldestRPCVersion = 5
        let ours = RPCHello(productVersion: "1.2.3", layout: 12)
        let events = RecordedEvents()
        let client = client(hello: ours, events: events)
        try await withServices([server("new", hello: newer), server("old", hello: ours), client]) {
            _ in
            await events.first { event in
                guard case .replicaIncompatible("new", ours, newer) = event else { return false }
                return true
            }
            try await eventually { client.isReady }
            for _ in 0..<10 { #expect(try await push(client) == "old") }
            // It is tried again, in case it was replaced; that is no news.
            try await eventually { client.attempts(at: "new") >= 3 }
            let told = events.count {
                if case .replicaIncompatible = $0 { true } else { false }
            }
            #expect(told == 1)
            let problem = try #require(problems(client)["new"]?.first)
            #expect(problem.contains("9.0.0 (RPC 7, from 5 on; layout 12)"))
            #expect(problem.contains("1.2.3"))
        }
    }

    @Test(
        arguments: [(11, 11, true), (11, 12, true), (12, 11, true), (11, 13, false), (0, 13, true)]
            as [(Int, Int, Bool)])
    func `layouts may be one apart`(ours: Int, theirs: Int, works: Bool) {
        #expect(RPCHello(layout: ours).worksWith(RPCHello(layout: theirs)) == works)
    }

    @Test func `versions work together if each understands the other`() {
        var old = RPCHello()
        (old.rpcVersion, old.oldestRPCVersion) = (3, 2)
        var new = RPCHello()
        (new.rpcVersion, new.oldestRPCVersion) = (4, 3)
        #expect(old.worksWith(new) && new.worksWith(old))
        new.oldestRPCVersion = 4
        #expect(!old.worksWith(new) && !new.worksWith(old))
    }

    @Test func `a replica from before the hello is used, and counts as ready`() async throws {
        try FileManager.default.createDirectory(
            atPath: directory.path, withIntermediateDirectories: true)
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(unixDomainSocketPath: "\(directory.path)/before.sock") { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ServerBeforeTheHello())
                    return channel
                }
            }
        let client = client()
        try await withServices([client]) { _ in
            try await eventually { client.isReady }
            #expect(try await push(client) == "before")
            #expect(problems(client) == ["before": []])
        }
        try await listener.channel.close().get()
    }

    @Test func `a client from before the hello finds its answers in their places`() async throws {
        let one = server("one", status: .notReady("starting"))
        try await withServices([one]) { _ in
            try await eventually {
                FileManager.default.fileExists(atPath: "\(directory.path)/one.sock")
            }
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(unixDomainSocketPath: "\(directory.path)/one.sock") { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                            wrappingChannelSynchronously: channel)
                    }
                }
            try await channel.executeThenClose { inbound, outbound in
                var decoder = FrameDecoder(limit: 1 << 20)
                var bytes = inbound.makeAsyncIterator()
                func next() async throws -> Frame {
                    while true {
                        if let frame = try decoder.next() { return frame }
                        decoder.append(try #require(try await bytes.next()))
                    }
                }
                func send(_ frame: Frame) async throws {
                    try await outbound.write(
                        frame.encode(limit: 1 << 20, allocator: ByteBufferAllocator()).head)
                }
                try await send(.control(.ping, call: 3))
                let first = try await next()
                #expect(first.header.kind == .pong && first.header.callID == 3)
                #expect(first.message.readableBytes > 0 && first.body.readableBytes == 0)
                try await send(.control(.ping, call: 4))
                // The hello comes once.
                let second = try await next()
                #expect(second.header.kind == .pong && second.header.callID == 4)
                #expect(second.message.readableBytes == 0)
                one.publish(.ready)
                let third = try await next()
                #expect(third.header.kind.rawValue == 9)
            }
        }
    }
}

extension RPCClient {
    /// How often in a row a replica was found to be of no use.
    fileprivate func attempts(at name: String) -> Int {
        state.withLock { $0.lanes[0].balancer.failures(of: name) }
    }
}

/// A server as it was when no PONG had a message: it answers pings and every call.
final class ServerBeforeTheHello: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private var decoder = FrameDecoder(limit: 1 << 20)

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data))
        while let frame = try? decoder.next() {
            var answer = Frame.control(
                frame.header.kind == .ping ? .pong : .end, call: frame.header.callID)
            if frame.header.kind == .call { answer.body = ByteBuffer(string: "before") }
            guard
                let (head, _) = try? answer.encode(
                    limit: 1 << 20, allocator: context.channel.allocator)
            else { return }
            context.writeAndFlush(NIOAny(head), promise: nil)
        }
    }
}
