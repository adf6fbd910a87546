import NIOCore
import Protos
import SwiftProtobuf
import Synchronization
import Testing

@testable import RPC

/// Answers that come in parts.
@Suite(.timeLimit(.minutes(1)))
struct StreamTests {
    let directory = RunDirectory()

    private func withStream(
        limits: RPCLimits = RPCLimits(),
        _ handler:
            @escaping @Sendable (
                PullChangesRequest, ByteBuffer, CallContext, RPCStreamWriter<PullChangesReply>
            ) async throws -> Void,
        _ body: @Sendable (RPCClient, RPCServer) async throws -> Void
    ) async throws {
        var router = RPCRouter()
        router.onStream(DownloadRPC.pullChanges, handler)
        let server = RPCServer(
            directory: directory.path, replica: "one", router: router, limits: limits,
            logger: quiet)
        let client = RPCClient(
            directory: directory.path, service: "test", limits: limits, logger: quiet)
        try await withServices([client, server]) { _ in try await body(client, server) }
    }

    @Test func `parts arrive in order, with their bodies, and then the end`() async throws {
        try await withStream { request, _, _, writer in
            for number in 0..<request.limit {
                try await writer.write(
                    .with { $0.nextAfter = Int64(number) }, body: ByteBuffer(string: "b\(number)"))
            }
        } _: { client, _ in
            let parts = try await client.stream(
                DownloadRPC.pullChanges, .with { $0.limit = 500 }, context: context())
            var next: Int64 = 0
            for try await part in parts {
                #expect(part.message.nextAfter == next)
                #expect(part.body == ByteBuffer(string: "b\(next)"))
                next += 1
            }
            #expect(next == 500)
            #expect(client.callsInFlight == 0)
        }
    }

    @Test func `a reader that takes nothing holds up the writer and nobody else`() async throws {
        let written = Tally()
        let blocked = Gate()
        try await withStream(limits: .with { $0.streamCredit = 4 }) { _, _, _, writer in
            for number in 0..<20 {
                if number == 4 { blocked.open() }
                try await writer.write(PullChangesReply())
                written.add()
            }
        } _: { client, _ in
            let held = try await client.stream(
                DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            await blocked.wait()
            // Another stream of the same connection runs to its end meanwhile.
            var others = 0
            for try await _ in try await client.stream(
                DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            { others += 1 }
            #expect(others == 20)
            #expect(written.value == 24)
            var parts = 0
            for try await _ in held { parts += 1 }
            #expect(parts == 20)
        }
    }

    @Test func `large parts go through although the socket is full most of the time`() async throws
    {
        let size = 3 << 20
        try await withStream(limits: .with { $0.outboundHighWatermark = 65_536 }) {
            _, _, _, writer in
            for number in 0..<20 {
                try await writer.write(
                    PullChangesReply(), body: ByteBuffer(repeating: UInt8(number), count: size))
            }
        } _: { client, _ in
            var number: UInt8 = 0
            for try await part in try await client.stream(
                DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            {
                #expect(part.body == ByteBuffer(repeating: number, count: size))
                number += 1
            }
            #expect(number == 20)
        }
    }

    @Test func `leaving the loop cancels the handler, also one that waits to write`() async throws {
        let cancelled = Gate()
        try await withStream { _, _, _, writer in
            do {
                while true { try await writer.write(PullChangesReply()) }
            } catch {
                #expect((error as? RPCFailure)?.status == .cancelled)
                cancelled.open()
                throw error
            }
        } _: { client, server in
            for try await _ in try await client.stream(
                DownloadRPC.pullChanges, PullChangesRequest(), context: context())
            { break }
            await cancelled.wait()
            try await eventually { server.callsInFlight == 0 && client.callsInFlight == 0 }
        }
    }

    @Test func `cancelling the reading task cancels the handler`() async throws {
        let begun = Gate()
        let cancelled = Gate()
        try await withStream { _, _, _, writer in
            try await writer.write(PullChangesReply())
            begun.open()
            await untilCancelled()
            cancelled.open()
        } _: { client, _ in
            await withTaskGroup(of: RPCFailure?.self) { group in
                group.addTask {
                    do {
                        for try await _ in try await client.stream(
                            DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                        {}
                        return nil
                    } catch {
                        return error as? RPCFailure
                    }
                }
                await begun.wait()
                group.cancelAll()
                #expect(await group.next() == .some(.cancelled))
            }
            await cancelled.wait()
        }
    }

    @Test func `a failure after some parts arrives after them`() async throws {
        try await withStream { _, _, _, writer in
            try await writer.write(PullChangesReply())
            throw RPCFailure(.gone, code: "history_pruned", message: "Too old")
        } _: { client, _ in
            var parts = 0
            do {
                for try await _ in try await client.stream(
                    DownloadRPC.pullChanges, PullChangesRequest(), context: context())
                { parts += 1 }
                Issue.record("the stream ended as if it had succeeded")
            } catch {
                #expect((error as? RPCFailure)?.code == "history_pruned")
            }
            #expect(parts == 1)
        }
    }

    @Test func `a deadline ends a stream`() async throws {
        try await withStream { _, _, _, _ in
            await untilCancelled()
        } _: { client, _ in
            try await eventually { client.isReady }
            do {
                for try await _ in try await client.stream(
                    DownloadRPC.pullChanges, PullChangesRequest(),
                    context: context(within: .milliseconds(80)))
                {}
                Issue.record("the stream ended as if it had succeeded")
            } catch {
                #expect((error as? RPCFailure)?.status == .deadlineExceeded)
            }
        }
    }
}
