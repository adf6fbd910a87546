import Foundation
import Protos
import ServiceKit
import SwiftProtobuf
import Telemetry
import Traces

/// Which process sends, and which part of it.
struct ExportOrigin: Sendable {
    let resource: OTLPResource
    let scope: OTLPInstrumentationScope

    init(_ process: [NamedText]) {
        resource = .with { $0.attributes = process.map { .init($0.name, text: $0.text) } }
        scope = .with {
            $0.name = "oversync"
            $0.version = BuildInfo.version
        }
    }

    func request(_ spans: [FinishedSpan]) -> OTLPExportTraceServiceRequest {
        .with { request in
            request.resourceSpans = [
                .with { part in
                    part.resource = resource
                    part.scopeSpans = [
                        .with {
                            $0.scope = scope
                            $0.spans = spans.map(OTLPSpan.init)
                        }
                    ]
                }
            ]
        }
    }

    /// - Parameters: both in microseconds since 1970.
    func request(
        _ metrics: [MetricReading], since start: Int64, now: Int64
    ) -> OTLPExportMetricsServiceRequest {
        let times = PointTimes(start: nanoseconds(start), now: nanoseconds(now))
        return .with { request in
            request.resourceMetrics = [
                .with { part in
                    part.resource = resource
                    part.scopeMetrics = [
                        .with {
                            $0.scope = scope
                            // A metric without points is none.
                            $0.metrics = metrics.filter { !$0.points.isEmpty }.map {
                                OTLPMetric($0, times)
                            }
                        }
                    ]
                }
            ]
        }
    }

    private func nanoseconds(_ microseconds: Int64) -> UInt64 {
        UInt64(clamping: microseconds).multipliedReportingOverflow(by: 1000).partialValue
    }
}

extension OTLPKeyValue {
    init(_ key: String, text: String) {
        self.init()
        self.key = key
        value.stringValue = text
    }

    init(_ attribute: FinishedSpan.Attribute) {
        self.init()
        key = attribute.key
        value = OTLPAnyValue(attribute.value)
    }
}

extension OTLPAnyValue {
    fileprivate init(_ value: FinishedSpan.Value) {
        self.init()
        switch value {
        case .text(let text): stringValue = text
        case .integer(let number): intValue = number
        case .number(let number): doubleValue = number
        case .flag(let flag): boolValue = flag
        case .list(let values): arrayValue.values = values.map(OTLPAnyValue.init)
        }
    }
}

extension OTLPSpan {
    /// Bits above those of the trace context: the second one is meant, and says that the parent is
    /// another process's.
    private static let tellsOrigin: UInt32 = 0x100
    private static let isRemote: UInt32 = 0x200

    fileprivate init(_ span: FinishedSpan) {
        self.init()
        traceID = Data(span.context.traceID.bytes)
        spanID = Data(span.context.spanID.bytes)
        traceState = span.context.state ?? ""
        if let parent = span.parent { parentSpanID = Data(parent.bytes) }
        name = span.name
        kind = OTLPSpanKind(span.kind)
        startTimeUnixNano = span.start
        endTimeUnixNano = span.end
        attributes = span.attributes.map(OTLPKeyValue.init)
        droppedAttributesCount = UInt32(clamping: span.dropped.attributes)
        events = span.events.map { event in
            .with {
                $0.timeUnixNano = event.time
                $0.name = event.name
                $0.attributes = event.attributes.map(OTLPKeyValue.init)
            }
        }
        droppedEventsCount = UInt32(clamping: span.dropped.events)
        links = span.links.map { link in
            .with {
                $0.traceID = Data(link.traceID.bytes)
                $0.spanID = Data(link.spanID.bytes)
                $0.traceState = link.state ?? ""
                $0.flags = UInt32(link.flags)
            }
        }
        droppedLinksCount = UInt32(clamping: span.dropped.links)
        if let hasFailed = span.hasFailed { status.code = hasFailed ? .error : .ok }
        flags =
            UInt32(span.context.flags) | Self.tellsOrigin
            | (span.isParentRemote ? Self.isRemote : 0)
    }
}

extension OTLPSpanKind {
    fileprivate init(_ kind: FinishedSpan.Kind) {
        switch kind {
        case .server: self = .server
        case .client: self = .client
        case .producer: self = .producer
        case .consumer: self = .consumer
        case .internal: self = .internal
        }
    }
}
