import Protos
import Telemetry

/// When a point was read, and since when it is counted: nanoseconds since 1970.
struct PointTimes: Sendable {
    let start: UInt64
    let now: UInt64
}

extension OTLPMetric {
    /// Under the names that `/metrics` has, so that alerts and dashboards fit both. The unit stays
    /// empty, because it is part of the name: Prometheus would add it once more.
    init(_ metric: MetricReading, _ times: PointTimes) {
        self.init()
        name = metric.name
        description_p = metric.help
        switch metric.kind {
        case .counter:
            sum.aggregationTemporality = .cumulative
            sum.isMonotonic = true
            sum.dataPoints = metric.points.map { OTLPNumberDataPoint($0, times, counts: true) }
        case .gauge:
            gauge.dataPoints = metric.points.map { OTLPNumberDataPoint($0, times, counts: false) }
        case .histogram:
            histogram.aggregationTemporality = .cumulative
            histogram.dataPoints = metric.points.map { OTLPHistogramDataPoint($0, times) }
        }
    }
}

extension OTLPNumberDataPoint {
    fileprivate init(_ point: MetricReading.Point, _ times: PointTimes, counts: Bool) {
        self.init()
        if counts { startTimeUnixNano = times.start }
        timeUnixNano = times.now
        switch point.value {
        case .count(let count): asInt = Int64(count)
        case .number(let number): asDouble = number
        case .buckets: break
        }
        attributes = point.attributes
    }
}

extension OTLPHistogramDataPoint {
    fileprivate init(_ point: MetricReading.Point, _ times: PointTimes) {
        self.init()
        startTimeUnixNano = times.start
        timeUnixNano = times.now
        guard case .buckets(let bounds, let counts, let sum) = point.value else { return }
        bucketCounts = counts.map { UInt64(clamping: $0) }
        count = bucketCounts.reduce(0, &+)
        explicitBounds = bounds
        self.sum = sum
        attributes = point.attributes
    }
}

extension MetricReading.Point {
    fileprivate var attributes: [OTLPKeyValue] {
        labels.members.map { OTLPKeyValue($0.name, text: $0.value) }
    }
}
