import DevStack
import Foundation
import NIOHTTP1
import ProtobufC
import Protos
import ServiceKit
import TestCollector
import Testing

@testable import OTLP
@testable import Traces

/// Spans on their way to a collector, over real sockets.
@Suite("Spans sent to a collector", .timeLimit(.minutes(1)))
struct SpanPushTests {
    @Test func `spans come whole, in batches, with who sends them`() async throws {
        try await TestCollector.with { collector in
            let export = try Export(
                port: collector.port,
                [
                    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%2Cb, x-team = sync",
                    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,k=v%20w",
                    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
                ])
            try await running(export.spans) {
                export.finish((0..<10).map { "span \($0)" })
                let all = await collector.requests { $0.flatMap(\.spans).count == 10 }
                let names = all.flatMap { $0.spans.map(\.name) }
                #expect(names == (0..<10).map { "span \($0)" })
                let largest = all.map(\.spans.count).max()
                #expect(largest ?? 0 <= 4)
                let first = try #require(all.first)
                #expect(first.path == "/v1/traces")
                #expect(first.fields["api-key"] == ["a,b"] && first.fields["x-team"] == ["sync"])
                #expect(first.fields["content-type"] == ["application/x-protobuf"])
                let resource = try #require(first.resourceSpans.first?.resource)
                let told = resource.attributes.map { "\($0.key)=\($0.value.stringValue)" }
                #expect(
                    told == [
                        "service.name=oversync-test", "service.version=\(BuildInfo.version)",
                        "service.instance.id=r1", "deployment.environment.name=test", "k=v w",
                    ])
            }
            #expect(export.lost.isEmpty)
        }
    }

    /// The bytes themselves, read by an implementation that shares nothing with ours.
    @Test func `protobuf-c reads the span that was sent`() async throws {
        try await TestCollector.with { collector in
            let export = try Export(port: collector.port)
            let caller = try #require(
                TraceContext(
                    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    tracestate: "a=1"))
            let tracer = RequestTracer(
                TraceSampler(.always, followsCaller: true), sink: export.queue)
            try await running(export.spans) {
                let span = LiveSpan(span: try #require(tracer.begin("GET /x", from: caller)))
                span.set("text", "ä")
                span.set("number", -5)
                span.set("list", ["a", "b"])
                span.fail("500")
                span.link(to: caller)
                span.end()
                let requests = await collector.requests { !$0.isEmpty }
                let bytes = try #require(requests.first?.bytes)
                let pointer = try #require(
                    oversync__otlp__v1__export_trace_service_request__unpack(
                        nil, bytes.count, bytes))
                defer {
                    oversync__otlp__v1__export_trace_service_request__free_unpacked(pointer, nil)
                }
                let scope = try #require(
                    pointer.pointee.resource_spans[0]?.pointee.scope_spans[0]?.pointee)
                #expect(scope.n_spans == 1)
                let read = try #require(scope.spans[0]?.pointee)
                #expect(String(cString: read.name) == "GET /x")
                #expect(String(cString: read.trace_state) == "a=1")
                #expect(read.trace_id.len == 16 && read.span_id.len == 8)
                let trace = UnsafeBufferPointer(start: read.trace_id.data, count: 16)
                #expect(Array(trace) == caller.traceID.bytes)
                let parent = UnsafeBufferPointer(start: read.parent_span_id.data, count: 8)
                #expect(Array(parent) == caller.spanID.bytes)
                // A server's span, sampled, whose parent is another process's.
                #expect(read.kind.rawValue == 2 && read.flags == 0x301)
                #expect(read.status.pointee.code.rawValue == 2 && read.n_links == 1)
                #expect(read.end_time_unix_nano >= read.start_time_unix_nano)
                #expect(read.n_attributes == 4)
            }
        }
    }

    @Test func `TLS is checked with the configured authorities`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "otlp-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = try DevelopmentCertificates(in: folder.path)
        try await TestCollector.with(tls: (files.certificate, files.key)) { collector in
            let trusting = try Export(
                port: collector.port, tls: true,
                ["OTEL_EXPORTER_OTLP_CERTIFICATE": files.authority])
            try await running(trusting.spans) {
                trusting.finish(["over TLS"])
                let all = await collector.requests { !$0.isEmpty }
                #expect(all.first?.spans.map(\.name) == ["over TLS"])
                try await eventually { trusting.metrics.taken(.traces) == 1 }
            }
            let wary = try Export(
                port: collector.port, tls: true, ["OTEL_BSP_EXPORT_TIMEOUT": "10"])
            try await running(wary.spans) {
                wary.finish(["to a stranger"])
                try await eventually { !wary.lost.isEmpty }
            }
            #expect(wary.lost == [#"oversync_otlp_lost_spans_total{reason="unavailable"} 1"#])
            #expect(collector.requests.count == 1)
        }
    }

    @Test func `a collector that is down costs a bounded number of spans, and counts the others`()
        async throws
    {
        // A port that nobody listens at.
        let port = try FreePort.find()
        let export = try Export(
            port: port, ["OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_EXPORT_TIMEOUT": "600000"])
        try await running(export.spans) {
            for _ in 0..<50 { export.finish((0..<100).map { "\($0)" }) }
            #expect(export.queue.count <= 100)
            let lost = export.metrics.lost(.queueFull)
            // What waits, and one batch that is on its way.
            #expect(lost >= 5000 - 200)
        }
        // All that was left is counted too.
        let all = ExportMetrics.Loss.allCases.map { export.metrics.lost($0) }.reduce(0, +)
        #expect(all == 5000)
    }

    @Test(arguments: [429, 502, 503, 504] as [UInt])
    func `a collector that asks for patience gets the spans later, once`(_ status: UInt)
        async throws
    {
        let answers: [TestCollector.Answer] = [
            .status(status, ["Retry-After": "1"]), .status(status),
        ]
        try await TestCollector.with(answers) { collector in
            let export = try Export(port: collector.port)
            try await running(export.spans) {
                export.finish(["a", "b"])
                let all = await collector.requests { $0.count == 3 }
                let different = Set(all.map(\.bytes)).count
                #expect(different == 1)
                #expect(all[1].time - all[0].time >= .seconds(1))
            }
            #expect(export.lost.isEmpty)
        }
    }

    @Test func `who asks for more patience than there is loses that batch, and is left alone`()
        async throws
    {
        try await TestCollector.with([.status(429, ["Retry-After": "3600"])]) { collector in
            let export = try Export(
                port: collector.port, ["OTEL_BSP_EXPORT_TIMEOUT": "1000"])
            try await running(export.spans) {
                export.finish(["lost"])
                try await eventually { export.metrics.lost(.unavailable) == 1 }
                export.finish(["never sent"])
            }
            // Not even at the end of the process.
            #expect(collector.requests.count == 1)
            #expect(export.metrics.lost(.unavailable) == 2)
        }
    }

    @Test func `answers that are no answers cost no more than their spans`() async throws {
        let answers: [TestCollector.Answer] = [
            .nonsense, .status(400), .status(301, ["Location": "http://127.0.0.1:1/"]),
            .rejecting(1), .rejecting(.max), .rejecting(-5), .taken,
        ]
        try await TestCollector.with(answers) { collector in
            let export = try Export(port: collector.port)
            try await running(export.spans) {
                for number in 1...answers.count {
                    export.finish(["\(number)"])
                    _ = await collector.requests { $0.count == number }
                }
                try await eventually { export.metrics.taken(.traces) == 5 }
            }
            #expect(
                export.lost == [
                    #"oversync_otlp_lost_spans_total{reason="refused"} 2"#,
                    #"oversync_otlp_lost_spans_total{reason="rejected"} 2"#,
                ])
            #expect(collector.requests.count == answers.count)
        }
    }

    @Test func `a collector that does not answer is given up in time`() async throws {
        try await TestCollector.with([.silent, .silent]) { collector in
            let export = try Export(
                port: collector.port,
                ["OTEL_EXPORTER_OTLP_TIMEOUT": "500", "OTEL_BSP_EXPORT_TIMEOUT": "500"])
            try await running(export.spans) {
                export.finish(["lost"])
                try await eventually { export.metrics.lost(.unavailable) == 1 }
                export.finish(["lost too"])
                try await eventually { export.metrics.lost(.unavailable) == 2 }
                export.finish(["taken"])
                let all = await collector.requests { requests in
                    requests.contains { $0.spans.map(\.name) == ["taken"] }
                }
                #expect(all.count == 3)
            }
        }
    }

    @Test func `a process that ends sends what waits`() async throws {
        try await TestCollector.with { collector in
            let export = try Export(
                port: collector.port, ["OTEL_BSP_SCHEDULE_DELAY": "600000"])
            try await running(export.spans) {
                export.finish((0..<100).map { "\($0)" })
                // Too few for a batch, and long before their time.
                #expect(collector.requests.isEmpty)
            }
            let sent = collector.requests.flatMap { $0.spans.map(\.name) }
            #expect(sent == (0..<100).map { "\($0)" })
            #expect(export.lost.isEmpty)
        }
    }
}
