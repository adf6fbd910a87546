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

/// Several replicas, and what happens when they go.
@Suite(.timeLimit(.minutes(1)), .serialized)
struct ReplicaTests {
    let directory = RunDirectory()

    private func withClient(
        limits: RPCLimits = RPCLimits(), events: RecordedEvents = RecordedEvents(),
        _ body: @Sendable (RPCClient, RecordedEvents) async throws -> Void
    ) async throws {
        let client = RPCClient(
            directory: directory.path, service: "test", limits: limits, logger: quiet,
            observer: events)
        try await withServices([client]) { _ in try await body(client, events) }
    }

    private func push(_ client: RPCClient) async throws -> String {
        let reply = try await client.call(
            UploadRPC.pushChanges, PushChangesRequest(), context: context())
        return String(buffer: reply.body)
    }

    private func pull(_ client: RPCClient, seconds: UInt32) async throws -> String {
        let reply = try await client.call(
            DownloadRPC.pullChanges, .with { $0.waitSeconds = seconds }, context: context())
        return String(buffer: reply.body)
    }

    private func server(
        _ name: String, _ register: (inout RPCRouter) -> Void = { _ in },
        events: RecordedEvents? = nil
    ) -> RPCServer {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in
            RPCReply(PushChangesReply(), body: ByteBuffer(string: name))
        }
        register(&router)
        return RPCServer(
            directory: directory.path, replica: name, router: router, logger: quiet,
            observer: events)
    }

    @Test func `two replicas share the calls by what they have in flight`() async throws {
        let gate = Gate()
        let counts = Mutex<[String: Int]>([:])
        let register = { (name: String) in
            { (router: inout RPCRouter) in
                router.on(DownloadRPC.pullChanges) { _, _, _ in
                    counts.withLock { $0[name, default: 0] += 1 }
                    await gate.wait()
                    return RPCReply(PullChangesReply())
                }
            }
        }
        let one = server("one", register("one"))
        let two = server("two", register("two"))
        let events = RecordedEvents()
        let client = RPCClient(
            directory: directory.path, service: "test", logger: quiet, observer: events)
        try await withServices([client, one, two]) { _ in
            await events.connected("one")
            await events.connected("two")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<40 {
                    group.addTask { _ = try await pull(client, seconds: 0) }
                }
                try await eventually { counts.withLock { $0.values.reduce(0, +) } == 40 }
                gate.open()
                try await group.waitForAll()
            }
        }
        #expect(counts.withLock { $0 } == ["one": 20, "two": 20])
    }

    @Test func `a call on a replica that is killed is answered by another`() async throws {
        let one = try await ReplicaProcess("one", in: directory)
        try await withClient { client, events in
            await events.connected("one")
            async let answer = pull(client, seconds: 6)
            try await eventually { client.callsInFlight == 1 }
            let two = try await ReplicaProcess("two", in: directory)
            await events.connected("two")
            try await one.kill9()
            #expect(try await answer == "two")
            #expect(events.count { if case .callRetried = $0 { true } else { false } } == 1)
            withExtendedLifetime(two) {}
        }
    }

    @Test func `a frozen replica loses its traffic and gets it back when it thaws`() async throws {
        let one = try await ReplicaProcess("one", in: directory)
        let two = try await ReplicaProcess("two", in: directory)
        try await withClient { client, events in
            await events.connected("one")
            await events.connected("two")
            try await one.freeze()
            let started = ContinuousClock.now
            // Half of them land on the frozen one and are moved.
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<20 { group.addTask { try await push(client) } }
                for try await name in group { #expect(name == "two") }
            }
            #expect(ContinuousClock.now - started < .seconds(2))
            #expect(
                events.count { event in
                    if case .replicaLost("one", "silent") = event { true } else { false }
                } == 1)
            one.thaw()
            while try await push(client) != "one" {}
            withExtendedLifetime(two) {}
        }
    }

    @Test func `callers do not notice that a sole replica is killed and started again`()
        async throws
    {
        let first = try await ReplicaProcess("one", in: directory)
        try await withClient { client, events in
            await events.connected("one")
            async let answer = pull(client, seconds: 1)
            try await eventually { client.callsInFlight == 1 }
            try await first.kill9()
            // Its socket is still there: the next one removes it.
            let second = try await ReplicaProcess("one", in: directory)
            #expect(try await answer == "one")
            #expect(try await push(client) == "one")
            withExtendedLifetime(second) {}
        }
    }

    @Test func `with no replica a call waits a bounded time and then says when to retry`()
        async throws
    {
        try await withClient(limits: .with { $0.replicaWait = .milliseconds(150) }) { client, _ in
            let started = ContinuousClock.now
            let received = await failure { try await push(client) }
            #expect(received?.status == .unavailable)
            #expect(received?.retryAfter != nil)
            #expect(ContinuousClock.now - started >= .milliseconds(150))
            let hurried = await failure {
                try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(),
                    context: context(within: .milliseconds(20)))
            }
            #expect(hurried?.status == .deadlineExceeded)
            #expect(client.waitingCalls == 0)
        }
    }

    @Test func `a waiting call can be cancelled`() async throws {
        try await withClient { client, _ in
            await withTaskGroup(of: RPCFailure?.self) { group in
                group.addTask { await failure { try await push(client) } }
                try? await eventually { client.waitingCalls == 1 }
                group.cancelAll()
                #expect(await group.next() == .some(.cancelled))
            }
            #expect(client.waitingCalls == 0)
        }
    }

    @Test func `each event loop has a connection of its own to a replica, which is told of once`()
        async throws
    {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let (seen, accepted) = (RecordedEvents(), RecordedEvents())
        let client = RPCClient(
            directory: directory.path, service: "test",
            limits: .with { $0.connectionsPerReplica = 8 }, logger: quiet, observer: seen,
            group: group)
        try await withServices([client, server("one", events: accepted)]) { _ in
            for loop in group.makeIterator() {
                let name = try await loop.makeFutureWithTask { try await push(client) }.get()
                #expect(name == "one")
            }
            try await eventually {
                accepted.count { if case .connectionAccepted = $0 { true } else { false } } == 2
            }
            let told = await client.broadcast(
                UploadRPC.pushChanges, PushChangesRequest(), context: context())
            #expect(told.called == 1 && told.answered == 1)
        }
        let connected = seen.count { if case .replicaConnected = $0 { true } else { false } }
        #expect(connected == 1)
        try await group.shutdownGracefully()
    }

    @Test func `each replica answers a call to all, by its name, or fails by itself`() async throws
    {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in throw RPCFailure.draining }
        let broken = RPCServer(
            directory: directory.path, replica: "two", router: router, logger: quiet)
        try await withClient { client, _ in
            try await withServices([server("one"), broken, server("three")]) { _ in
                try await eventually { client.replicas.count == 3 }
                let answers = await client.callEach(
                    UploadRPC.pushChanges, PushChangesRequest(), context: context())
                #expect(answers.map(\.replica) == ["one", "three", "two"])
                let bodies = answers.map { try? String(buffer: $0.outcome.get().body) }
                #expect(bodies == ["one", "three", nil])
                #expect(throws: RPCFailure.draining) { try answers[2].outcome.get() }
            }
        }
    }

    @Test(arguments: [1, 2])
    func `rolling restarts under load lose no call`(connections: Int) async throws {
        let failures = Tally()
        let calls = Tally()
        let stop = Gate()
        try await withClient(limits: .with { $0.connectionsPerReplica = connections }) {
            client, events in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        while !stop.isOpen {
                            if await failure({ try await push(client) }) != nil {
                                failures.add()
                            }
                            calls.add()
                        }
                    }
                }
                group.addTask {
                    defer { stop.open() }
                    // Never more than one is up, so calls also wait for the next.
                    for _ in 0..<6 {
                        let before = calls.value
                        try await withServices([server("one")]) { _ in
                            try await eventually {
                                calls.value > before + 200
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let retries = events.count { if case .callRetried = $0 { true } else { false } }
            #expect(retries == 0, "a drain finishes what is in flight")
        }
        #expect(failures.value <= 8, "those that wait after the last one")
    }

    @Test func `a drain waits for calls in flight, up to its limit`() async throws {
        let begun = Gate()
        let gate = Gate()
        let answered = Gate()
        let slow = server("one") { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in
                begun.open()
                await gate.wait()
                return RPCReply(PullChangesReply())
            }
        }
        let two = server("two")
        try await withClient { client, events in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await withServices([slow]) { running in
                        async let reply = client.call(
                            DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                        await begun.wait()
                        await running.triggerGracefulShutdown()
                        _ = try await reply
                        answered.open()
                    }
                }
                await events.first { if case .replicaDraining = $0 { true } else { false } }
                try await withServices([two]) { _ in
                    await events.connected("two")
                    let other = try await push(client)
                    #expect(other == "two")
                    gate.open()
                    await answered.wait()
                }
                try await group.waitForAll()
            }
            #expect(events.count { if case .replicaLost = $0 { true } else { false } } == 0)
        }
    }
}

extension RecordedEvents {
    /// Returns once the client is connected to the replica.
    func connected(_ name: String) async {
        await first { event in
            guard case .replicaConnected(name) = event else { return false }
            return true
        }
    }
}
