import NIOCore
import Protos
import SwiftProtobuf
import Synchronization
import Testing
import Traces

@testable import RPC

/// One server, one client, a real socket.
@Suite(.timeLimit(.minutes(1)))
struct CallTests {
    let directory = RunDirectory()

    private func withEndpoints(
        limits: RPCLimits = RPCLimits(), serverEvents: RecordedEvents? = nil,
        clientEvents: RecordedEvents? = nil, _ register: (inout RPCRouter) -> Void,
        _ body: @Sendable (RPCClient, RPCServer) async throws -> Void
    ) async throws {
        var router = RPCRouter()
        register(&router)
        let server = RPCServer(
            directory: directory.path, replica: "one", router: router, limits: limits,
            logger: quiet, observer: serverEvents)
        let client = RPCClient(
            directory: directory.path, service: "test", limits: limits, logger: quiet,
            observer: clientEvents)
        try await withServices([client, server]) { _ in try await body(client, server) }
    }

    @Test func `a call carries message, body and context both ways`() async throws {
        let seen = Mutex<CallContext?>(nil)
        try await withEndpoints { router in
            router.on(UploadRPC.pushChanges) { request, body, context in
                seen.withLock { $0 = context }
                #expect(request.atomic)
                var reply = PushChangesReply()
                reply.lastSeq = Int64(body.readableBytes)
                return RPCReply(reply, body: body)
            }
        } _: { client, _ in
            var request = PushChangesRequest()
            request.atomic = true
            let parent = "00-\(String(repeating: "a", count: 32))-00000000000000bb-01"
            var sent = context("r-1", caller: CallerIdentity(user: "u", device: "d"))
            sent.trace = TraceContext(traceparent: parent, tracestate: "a=1")
            let body = ByteBuffer(string: #"{"changes":[]}"#)
            let reply = try await client.call(
                UploadRPC.pushChanges, request, body: body, context: sent)
            #expect(reply.body == body)
            #expect(reply.message.lastSeq == Int64(body.readableBytes))
            let received = try #require(seen.withLock { $0 })
            #expect(received.requestID == "r-1")
            #expect(received.trace == sent.trace)
            #expect(received.trace?.traceparent == parent && received.trace?.state == "a=1")
            #expect(received.caller == sent.caller)
            #expect((received.deadline - sent.deadline) < .seconds(1))
        }
    }

    @Test func `a slow call does not hold up others on the same connection`() async throws {
        let gate = Gate()
        try await withEndpoints { router in
            router.on(UploadRPC.pushChanges) { request, body, _ in
                if request.atomic { await gate.wait() }
                return RPCReply(PushChangesReply(), body: body)
            }
        } _: { client, _ in
            async let slow = client.call(
                UploadRPC.pushChanges, .with { $0.atomic = true }, body: ByteBuffer(string: "slow"),
                context: context())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let body = ByteBuffer(string: "\(number)")
                        let reply = try await client.call(
                            UploadRPC.pushChanges, PushChangesRequest(), body: body,
                            context: context())
                        #expect(reply.body == body)
                    }
                }
                try await group.waitForAll()
            }
            #expect(client.callsInFlight == 1)
            gate.open()
            #expect(try await slow.body == ByteBuffer(string: "slow"))
        }
    }

    @Test func `bodies up to 16 MiB go through whole`() async throws {
        try await withEndpoints { router in
            router.on(UploadRPC.pushChanges) { _, body, _ in
                RPCReply(PushChangesReply(), body: body)
            }
        } _: { client, _ in
            for size in [0, 1, 4095, 4096, 4097, 65_536, 1 << 20, 16 << 20] {
                let body = ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
                let reply = try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(), body: body, context: context())
                #expect(reply.body == body, "size \(size)")
            }
        }
    }

    @Test func `a request over the frame limit fails at its sender and harms nobody`() async throws
    {
        try await withEndpoints(limits: .with { $0.maximumFrameBytes = 10_000 }) { router in
            router.on(UploadRPC.pushChanges) { request, body, _ in
                let size = request.atomic ? 20_000 : body.readableBytes
                return RPCReply(PushChangesReply(), body: ByteBuffer(repeating: 0, count: size))
            }
        } _: { client, _ in
            let large = await failure {
                try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(),
                    body: ByteBuffer(repeating: 0, count: 10_001), context: context())
            }
            #expect(large?.status == .tooLarge)
            let answer = await failure {
                try await client.call(
                    UploadRPC.pushChanges, .with { $0.atomic = true }, context: context())
            }
            #expect(answer?.code == "answer_too_large")
            _ = try await client.call(
                UploadRPC.pushChanges, PushChangesRequest(), context: context())
        }
    }

    @Test func `a handler's failure arrives as it was thrown`() async throws {
        let thrown = RPCFailure(
            .conflict, code: "epoch_changed", message: "Start again", retryAfter: .seconds(3))
        try await withEndpoints { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in throw thrown }
        } _: { client, _ in
            let received = await failure {
                try await client.call(
                    DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            }
            #expect(received == thrown)
        }
    }

    @Test func `any other error is internal for the caller and whole in the log`() async throws {
        struct Secret: Error {}
        let events = RecordedEvents()
        try await withEndpoints(serverEvents: events) { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in throw Secret() }
        } _: { client, _ in
            let received = await failure {
                try await client.call(
                    DownloadRPC.pullChanges, PullChangesRequest(), context: context("r-9"))
            }
            #expect(received == .internal)
            await events.first { event in
                guard case .handlerFailed(_, "r-9", let error) = event else { return false }
                return error is Secret
            }
        }
    }

    @Test func `an unknown method fails alone`() async throws {
        try await withEndpoints { _ in
        } _: { client, _ in
            let received = await failure {
                try await client.call(
                    DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            }
            #expect(received?.code == "unknown_method")
            #expect(client.isReady)
        }
    }

    @Test func `cancelling the caller's task cancels the handler's`() async throws {
        let begun = Gate()
        let cancelled = Gate()
        try await withEndpoints { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in
                begun.open()
                await untilCancelled()
                cancelled.open()
                throw CancellationError()
            }
        } _: { client, server in
            let received = await withTaskGroup(of: RPCFailure?.self) { group in
                group.addTask {
                    await failure {
                        try await client.call(
                            DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                    }
                }
                await begun.wait()
                group.cancelAll()
                return await group.next() ?? nil
            }
            #expect(received?.status == .cancelled)
            await cancelled.wait()
            try await eventually { server.callsInFlight == 0 }
        }
    }

    @Test func `a task that is cancelled already makes no call`() async throws {
        let calls = Tally()
        try await withEndpoints { router in
            router.on(DownloadRPC.pullChanges) { request, _, _ in
                if request.limit == 0 { calls.add() }
                return RPCReply(PullChangesReply())
            }
        } _: { client, _ in
            try await eventually { client.isReady }
            let received = await withTaskGroup(of: RPCFailure?.self) { group in
                group.cancelAll()
                group.addTask {
                    await failure {
                        try await client.call(
                            DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                    }
                }
                return await group.next() ?? nil
            }
            #expect(received?.status == .cancelled)
            // A later call on the same connection: had there been an earlier one, it came first.
            _ = try await client.call(
                DownloadRPC.pullChanges, .with { $0.limit = 1 }, context: context())
            #expect(calls.value == 0)
        }
    }

    @Test func `the deadline ends the call at both ends`() async throws {
        let cancelled = Gate()
        try await withEndpoints { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in
                await untilCancelled()
                cancelled.open()
                throw CancellationError()
            }
        } _: { client, _ in
            try await eventually { client.isReady }
            let started = ContinuousClock.now
            let received = await failure {
                try await client.call(
                    DownloadRPC.pullChanges, PullChangesRequest(),
                    context: context(within: .milliseconds(100)))
            }
            #expect(received?.status == .deadlineExceeded)
            #expect(ContinuousClock.now - started >= .milliseconds(100))
            await cancelled.wait()
        }
    }

    @Test func `a server takes no more calls at once than it may`() async throws {
        let gate = Gate()
        try await withEndpoints(limits: .with { $0.maximumCallsInFlight = 4 }) { router in
            router.on(DownloadRPC.pullChanges) { _, _, _ in
                await gate.wait()
                return RPCReply(PullChangesReply())
            }
        } _: { client, server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        _ = try await client.call(
                            DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                    }
                }
                try await eventually { server.callsInFlight == 4 }
                let fifth = await failure {
                    try await client.call(
                        DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                }
                #expect(fifth?.code == "overloaded")
                #expect(fifth?.retryAfter != nil)
                gate.open()
                try await group.waitForAll()
            }
        }
    }
}

/// The failure that `body` throws, or nil.
func failure<R>(_ body: () async throws -> R) async -> RPCFailure? {
    do {
        _ = try await body()
        return nil
    } catch let failure as RPCFailure {
        return failure
    } catch {
        Issue.record(error)
        return nil
    }
}

/// Returns when the task is cancelled.
func untilCancelled() async {
    let (stream, continuation) = AsyncStream<Never>.makeStream()
    for await _ in stream {}
    continuation.finish()
}

extension RPCLimits {
    static func with(_ change: (inout RPCLimits) -> Void) -> RPCLimits {
        var limits = RPCLimits()
        change(&limits)
        return limits
    }
}
