import Foundation
import Glibc
import NIOCore
import NIOPosix
import Protos
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Testing

@testable import RPC

/// What a client knows of its replicas without calling them.
@Suite(.timeLimit(.minutes(1)), .serialized)
struct PingTests {
    let directory = RunDirectory()

    private func client(
        limits: RPCLimits = RPCLimits(), events: RecordedEvents = RecordedEvents(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) -> RPCClient {
        RPCClient(
            directory: directory.path, service: "test", limits: limits, logger: quiet,
            observer: events, group: group)
    }

    private func push(_ client: RPCClient) async throws -> String {
        let reply = try await client.call(
            UploadRPC.pushChanges, PushChangesRequest(), context: context())
        return String(buffer: reply.body)
    }

    @Test func `a sole replica that freezes while nothing is called is not ready within 2 s`()
        async throws
    {
        let one = try await ReplicaProcess("one", in: directory)
        let client = client()
        try await withServices([client]) { _ in
            try await eventually { client.isReady }
            try await one.freeze()
            try await eventually(within: .seconds(5)) { !client.isReady }
            #expect(client.callsInFlight == 0)
            one.thaw()
            try await eventually { client.isReady }
            #expect(try await push(client) == "one")
        }
    }

    /// As Upload does: announcements of 100 ms, one after the other, and nothing else.
    @Test func `a frozen replica that gets only short calls is given up`() async throws {
        let one = try await ReplicaProcess("one", in: directory)
        let events = RecordedEvents()
        let client = client(events: events)
        try await withServices([client]) { _ in
            await events.connected("one")
            try await one.freeze()
            let started = ContinuousClock.now
            while !events.hasLost("one"), ContinuousClock.now - started < .seconds(10) {
                await client.broadcast(
                    UploadRPC.pushChanges, PushChangesRequest(),
                    context: context(within: .milliseconds(100)))
            }
            #expect(ContinuousClock.now - started < .seconds(5))
            #expect(events.hasLost("one"))
            one.thaw()
            try await eventually { client.isReady }
        }
    }

    @Test func `a ping brings the status of its moment, although nobody publishes it`()
        async throws
    {
        let status = Mutex(ServiceStatus.ready)
        let one = RPCServer(
            directory: directory.path, replica: "one", router: RPCRouter(),
            currentStatus: { status.withLock { $0 } }, logger: quiet)
        let client = client()
        try await withServices([one, client]) { _ in
            try await eventually { client.isReady }
            status.withLock { $0 = .notReady("stuck") }
            try await eventually(within: .seconds(5)) { !client.isReady }
            #expect(client.replicas.first?.status == .notReady("stuck"))
            status.withLock { $0 = .ready }
            try await eventually(within: .seconds(5)) { client.isReady }
        }
    }

    /// ```
    /// lane 1   call ─ waits ─ connects ─ call is sent
    /// lane 2   call ─ waits ──────────── call is sent by lane 1 …
    ///                         connects, and is never answered
    /// ```
    @Test func `calls of an event loop whose connection is broken go by another's`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let client = client(limits: .with { $0.connectionsPerReplica = 2 }, group: group)
        let accepted = Mutex(0)
        try FileManager.default.createDirectory(
            atPath: directory.path, withIntermediateDirectories: true)
        try await withServices([client]) { _ in
            // From no event loop, calls take turns in the lanes.
            async let first = push(client)
            async let second = push(client)
            try await eventually { client.waitingCalls == 2 }
            let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .bind(unixDomainSocketPath: "\(directory.path)/before.sock") { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let isFirst = accepted.withLock { count in
                            count += 1
                            return count == 1
                        }
                        if isFirst {
                            try channel.pipeline.syncOperations.addHandler(ServerBeforeTheHello())
                        }
                        return channel
                    }
                }
            #expect(try await first == "before")
            #expect(try await second == "before")
            #expect(client.isReady)
            let started = ContinuousClock.now
            for _ in 0..<4 { #expect(try await push(client) == "before") }
            #expect(ContinuousClock.now - started < RPCLimits().replicaWait)
            try await listener.channel.close().get()
        }
        try await group.shutdownGracefully()
    }
}

extension RecordedEvents {
    fileprivate func hasLost(_ name: String) -> Bool {
        count { event in
            if case .replicaLost(name, _) = event { true } else { false }
        } > 0
    }
}
