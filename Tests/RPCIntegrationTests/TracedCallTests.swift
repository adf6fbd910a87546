import NIOCore
import Protos
import SwiftProtobuf
import Synchronization
import Testing

@testable import RPC
@testable import Traces

/// Calls of a request that is sampled, and of others, over a real socket.
@Suite(.timeLimit(.minutes(1)))
struct TracedCallTests {
    private final class Finished: SpanSink {
        private let spans = Mutex<[FinishedSpan]>([])

        func take(_ span: FinishedSpan) { spans.withLock { $0.append(span) } }

        func spans(of trace: TraceID?) -> [FinishedSpan] {
            spans.withLock { $0 }.filter { $0.context.traceID == trace }
        }
    }

    /// A process has one tracer. Handlers run in tasks of their own, so a task's would not do.
    private static let (tracer, finished) = {
        let finished = Finished()
        let tracer = RequestTracer(TraceSampler(.always, followsCaller: true), sink: finished)
        Traces.start(tracer)
        return (tracer, finished)
    }()

    private let directory = RunDirectory()

    private func withEndpoints(
        _ configure: (inout RPCRouter) -> Void, _ body: @Sendable (RPCClient) async throws -> Void
    ) async throws {
        var router = RPCRouter()
        configure(&router)
        let server = RPCServer(
            directory: directory.path, replica: "1", router: router, logger: quiet)
        let client = RPCClient(directory: directory.path, service: "upload", logger: quiet)
        try await withServices([server, client]) { _ in try await body(client) }
    }

    @Test func `the handler's span is below the call's, and its own are below it`() async throws {
        let root = LiveSpan(span: try #require(Self.tracer.begin("root", from: nil)))
        try await withEndpoints { router in
            router.on(UploadRPC.pushChanges) { request, _, context in
                Traces.child("inside")?.end()
                guard request.atomic else { return RPCReply(PushChangesReply()) }
                throw RPCFailure(.conflict, code: "not_so", message: "ann's row")
            }
        } _: { client in
            try await root.run {
                _ = try await client.call(
                    UploadRPC.pushChanges, PushChangesRequest(), context: context())
                let refused = PushChangesRequest.with { $0.atomic = true }
                await #expect(throws: RPCFailure.self) {
                    _ = try await client.call(UploadRPC.pushChanges, refused, context: context())
                }
            }
        }
        root.end()
        let spans = Self.finished.spans(of: root.trace?.traceID)
        let kinds = spans.map(\.kind)
        #expect(kinds == [.internal, .server, .client, .internal, .server, .client, .server])
        let ids = spans.map(\.context.spanID)
        let parents = spans.map(\.parent)
        #expect(parents == [ids[1], ids[2], ids[6], ids[4], ids[5], ids[6], nil])
        let remote = spans.map(\.isParentRemote)
        #expect(remote == [false, true, false, false, true, false, false])
        let names = Set(spans.map(\.name))
        #expect(names == ["inside", "oversync.upload.v1.PushChanges", "root"])
        let codes = spans.map { span in
            span.attributes.contains(.init(key: "error.type", value: .text("not_so")))
        }
        #expect(codes == [false, false, false, false, true, true, false])
        // What a caller does wrong is not the server's fault.
        let faults = spans.compactMap(\.hasFailed)
        #expect(faults.isEmpty)
        let text = "\(spans)"
        #expect(!text.contains("ann"))
    }

    @Test func `a trace that nobody collects goes through, without spans`() async throws {
        _ = Self.finished
        let seen = Mutex<TraceContext?>(nil)
        let caller = TraceContext(
            traceparent: "00-\(String(repeating: "c", count: 32))-00000000000000bb-00",
            tracestate: "a=1")
        try await withEndpoints { router in
            router.on(UploadRPC.pushChanges) { _, _, context in
                seen.withLock { $0 = context.trace }
                Traces.child("inside")?.end()
                return RPCReply(PushChangesReply())
            }
        } _: { client in
            var sent = context()
            sent.trace = caller
            _ = try await client.call(UploadRPC.pushChanges, PushChangesRequest(), context: sent)
        }
        let received = seen.withLock { $0 }
        #expect(received != nil && received == caller)
        let trace = try #require(caller).traceID
        let spans = Self.finished.spans(of: trace)
        #expect(spans.isEmpty)
    }
}
