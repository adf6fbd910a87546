/// A metric at one moment, for those who do not read Prometheus' text.
package struct MetricReading: Sendable {
    package enum Kind: Sendable {
        case counter, gauge, histogram
    }

    package enum Value: Hashable, Sendable {
        case count(Int)
        case number(Double)
        /// Observations up to each bound and above the one before it, then those above all bounds.
        case buckets(bounds: [Double], counts: [Int], sum: Double)
    }

    /// One set of labels.
    package struct Point: Sendable {
        package let labels: MetricLabels
        package let value: Value
    }

    package let name: String
    package let help: String
    package let kind: Kind
    package let points: [Point]
}

extension MetricFamily {
    var kind: MetricReading.Kind {
        switch type {
        case "counter": .counter
        case "histogram": .histogram
        default: .gauge
        }
    }
}

extension MetricLabels {
    /// Names and values.
    package var members: [(name: String, value: String)] {
        stride(from: 0, to: pairs.count, by: 2).map { (pairs[$0], pairs[$0 + 1]) }
    }
}
