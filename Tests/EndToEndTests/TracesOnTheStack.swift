import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Protos
import TestCollector
import Testing

/// One request's way through all processes, as a collector gets it from them.
@Suite("Traces on a stack", .timeLimit(.minutes(2)))
struct TracesOnTheStack {
    private static let programs: Set = [
        "oversync-gateway", "oversync-auth", "oversync-upload", "oversync-download",
    ]

    private struct Traced: Sendable {
        let program: String
        let span: OTLPSpan
    }

    @Test("An upload is one trace from the gateway to its statements, and names nobody")
    func upload() async throws {
        try await TestCollector.with { collector in
            try await withStack { directory in
                var plan = demonstrationPlan(in: directory)
                plan.environment = [
                    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)",
                    "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500",
                ]
                // It decides for all, by the trace's id, and not by what the client wants.
                plan.environmentOf["gateway"] = [
                    "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5",
                ]
                return plan
            } _: { (stack: StackAddress) in
                try await stack.withClient { client in
                    let unsampled = Self.context(trace: "b", flags: "01")
                    try await Self.upload(stack, client, 1, unsampled)
                    let sampled = Self.context(trace: "1", flags: "00")
                    let token = try await Self.upload(stack, client, 2, sampled)
                    let traced = await Self.spans(of: collector)
                    try Self.compare(traced)
                    try Self.expectNobody(collector.requests, token)
                    try await Self.expectMetrics(collector)
                }
            }
        }
    }

    private static func context(trace digit: String, flags: String) -> String {
        "00-\(String(repeating: digit, count: 32))-00000000000000ff-\(flags)"
    }

    @discardableResult
    private static func upload(
        _ stack: StackAddress, _ client: HTTPClient, _ number: Int, _ traceparent: String
    ) async throws -> String {
        let device = try await WireDevice(
            stack, client, user: "ann-the-person", device: "phone-of-hers")
        var request = HTTPClientRequest(url: stack.gateway + "/sync/upload")
        request.method = .POST
        request.headers.add(name: "authorization", value: "Bearer \(device.token)")
        request.headers.add(name: "traceparent", value: traceparent)
        request.headers.add(name: "tracestate", value: "vendor=abc")
        request.body = .bytes(
            ByteBuffer(
                string: #"{"changes":[{"source_change_id":\#(number),"schema":"business","#
                    + #""table":"users","op":"INSERT","pk":"00000000-0000-4000-8000-00000000000"#
                    + #"\#(number)","server_version":0,"payload":{"name":"private-words"}}]}"#))
        let response = try await client.execute(request, timeout: .seconds(30))
        let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
        #expect(response.status == .ok && text.contains("applied"), "\(text)")
        return device.token
    }

    private static func traced(_ requests: [TestCollector.Request]) -> [Traced] {
        requests.flatMap(\.resourceSpans).flatMap { part in
            let name = part.resource.attributes.first { $0.key == "service.name" }
            return part.scopeSpans.flatMap(\.spans).map {
                Traced(program: name?.value.stringValue ?? "", span: $0)
            }
        }
    }

    /// All spans, once those of both processes are there. A process sends a span after those below
    /// it.
    private static func spans(of collector: TestCollector) async -> [Traced] {
        let requests = await collector.requests { requests in
            let all = traced(requests)
            return all.contains { $0.span.name == "POST /sync/upload" }
                && all.contains { $0.program == "oversync-upload" && $0.span.kind == .server }
        }
        return traced(requests)
    }

    private static func compare(_ traced: [Traced]) throws {
        let spans = traced.map(\.span)
        // The unsampled upload has left nothing.
        let traces = Set(spans.map(\.traceID))
        #expect(traces == [Data(repeating: 0x11, count: 16)])
        func only(_ program: String, _ kind: OTLPSpanKind, _ name: String) throws -> OTLPSpan {
            let found = traced.filter {
                $0.program == program && $0.span.kind == kind && $0.span.name == name
            }
            #expect(found.count == 1, "\(program) \(name)")
            return try #require(found.first).span
        }
        let request = try only("oversync-gateway", .server, "POST /sync/upload")
        let push = "oversync.upload.v1.PushChanges"
        let call = try only("oversync-gateway", .client, push)
        let handler = try only("oversync-upload", .server, push)
        #expect(request.parentSpanID == Data([0, 0, 0, 0, 0, 0, 0, 0xff]))
        #expect(call.parentSpanID == request.spanID && handler.parentSpanID == call.spanID)
        // The parents of two are another process's.
        #expect(request.flags & 0x300 == 0x300 && handler.flags & 0x300 == 0x300)
        #expect(call.flags & 0x300 == 0x100)
        let statements = traced.filter {
            $0.program == "oversync-upload" && $0.span.kind == .client
                && $0.span.attributes.contains { $0.key == "db.system.name" }
        }
        let begun = statements.filter { $0.span.name.hasPrefix("upload_begin +") }
        #expect(begun.count == 1 && begun.first?.span.parentSpanID == handler.spanID)
        let parents = Set(statements.map(\.span.parentSpanID))
        #expect(parents == [handler.spanID])
        // Each span's parent is there, but for the device's own.
        let ids = Set(spans.map(\.spanID))
        let orphans = spans.filter { !ids.contains($0.parentSpanID) }.map(\.name)
        #expect(orphans == ["POST /sync/upload"] && ids.count == spans.count)
        let states = Set(spans.map(\.traceState))
        #expect(states == ["vendor=abc"])
        let inside = [call, handler].allSatisfy {
            $0.startTimeUnixNano >= request.startTimeUnixNano
                && $0.endTimeUnixNano <= request.endTimeUnixNano
        }
        #expect(inside)
        let status = request.attributes.first { $0.key == "http.response.status_code" }
        #expect(status?.value.intValue == 200)
    }

    /// Neither who it was, nor what the row says, nor what opens the door.
    private static func expectNobody(
        _ requests: [TestCollector.Request], _ token: String
    ) throws {
        for request in requests {
            let text = String(decoding: request.bytes, as: UTF8.self)
            for word in [
                "ann-the-person", "phone-of-hers", "private-words", "00000000-0000-4000", token,
                "INSERT INTO",
            ] { #expect(!text.contains(word), "\(word) in \(request.path)") }
        }
    }

    private static func expectMetrics(_ collector: TestCollector) async throws {
        let requests = await collector.requests { requests in
            programs.isSubset(of: requests.flatMap(\.resourceMetrics).map(program))
        }
        let parts = requests.flatMap(\.resourceMetrics).filter { program($0) == "oversync-upload" }
        let metrics = parts.last?.scopeMetrics.flatMap(\.metrics) ?? []
        let duration = metrics.first { $0.name == "oversync_upload_duration_seconds" }
        #expect(duration?.histogram.aggregationTemporality == .cumulative)
        let lost = metrics.first { $0.name == "oversync_otlp_lost_spans_total" }
        let numbers = Set(lost?.sum.dataPoints.map(\.asInt) ?? [])
        #expect(numbers == [0])
    }

    private static func program(_ part: OTLPResourceMetrics) -> String {
        part.resource.attributes.first { $0.key == "service.name" }?.value.stringValue ?? ""
    }
}
