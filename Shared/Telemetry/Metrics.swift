import Synchronization

/// A metric's labels, in the order in which they are written.
package struct MetricLabels: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    let pairs: [String]

    package static let none: MetricLabels = [:]

    package init(dictionaryLiteral elements: (String, String)...) {
        pairs = elements.flatMap { [$0.0, $0.1] }
    }

    /// `{a="b",c="d"}`, or nothing without labels; `extra` is one more pair at the end.
    func rendered(extra: (String, String)? = nil) -> String {
        var all = stride(from: 0, to: pairs.count, by: 2).map { (pairs[$0], pairs[$0 + 1]) }
        if let extra { all.append(extra) }
        guard !all.isEmpty else { return "" }
        let parts = all.map { name, value in
            let escaped = value.map { character -> String in
                switch character {
                case "\\": "\\\\"
                case "\"": "\\\""
                case "\n": "\\n"
                default: String(character)
                }
            }.joined()
            return "\(name)=\"\(escaped)\""
        }
        return "{" + parts.joined(separator: ",") + "}"
    }
}

/// The metrics of one process, written out in Prometheus's text format by the admin listener.
///
/// Metrics are declared once where the service is wired and kept by whoever counts.
package final class MetricsRegistry: Sendable {
    private let families = Mutex<[any MetricFamily]>([])

    package init() {}

    /// A number that only grows. Its name ends in `_total`.
    package func counter(_ name: String, _ help: String) -> Counter {
        add(Counter(name: name, help: help))
    }

    /// A number read at the moment of the scrape.
    package func gauge(
        _ name: String, _ help: String, _ read: @escaping @Sendable () -> [(MetricLabels, Double)]
    ) {
        _ = add(Gauge(name: name, help: help, read: read))
    }

    /// Durations in seconds, or sizes, counted into buckets. Its name ends in its unit.
    package func histogram(
        _ name: String, _ help: String, buckets: [Double] = Histogram.seconds
    ) -> Histogram {
        add(Histogram(name: name, help: help, bounds: buckets))
    }

    /// Everything, as Prometheus reads it.
    package func rendered() -> String {
        var text = ""
        for family in families.withLock({ $0 }) {
            text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.type)\n"
            family.render(into: &text)
        }
        return text
    }

    private func add<Family: MetricFamily>(_ family: Family) -> Family {
        families.withLock { $0.append(family) }
        return family
    }
}

/// One metric with all its label sets.
protocol MetricFamily: Sendable {
    var name: String { get }
    var help: String { get }
    var type: String { get }
    func render(into text: inout String)
}

/// A number that only grows, one for each set of labels.
package final class Counter: MetricFamily {
    let name: String
    let help: String
    let type = "counter"
    private let values = Mutex<[MetricLabels: Int]>([:])

    init(name: String, help: String) {
        self.name = name
        self.help = help
    }

    package func add(_ amount: Int = 1, _ labels: MetricLabels = .none) {
        guard amount > 0 else { return }
        values.withLock { $0[labels, default: 0] += amount }
    }

    package func value(_ labels: MetricLabels = .none) -> Int {
        values.withLock { $0[labels] ?? 0 }
    }

    func render(into text: inout String) {
        for (labels, value) in values.withLock({ $0 }).sorted(by: {
            $0.key.pairs.lexicographicallyPrecedes($1.key.pairs)
        }) {
            text += "\(name)\(labels.rendered()) \(value)\n"
        }
    }
}

/// Values read when asked.
struct Gauge: MetricFamily {
    let name: String
    let help: String
    let type = "gauge"
    let read: @Sendable () -> [(MetricLabels, Double)]

    func render(into text: inout String) {
        for (labels, value) in read() { text += "\(name)\(labels.rendered()) \(value)\n" }
    }
}

/// Observations counted into buckets, one set of buckets for each set of labels.
package final class Histogram: MetricFamily {
    /// Bounds for durations, in seconds: 0.5 ms to 30 s.
    package static let seconds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
    ]
    /// Bounds for numbers of rows or changes.
    package static let rows: [Double] = [0, 1, 5, 10, 50, 100, 200, 500, 1000]
    /// Bounds for bytes: 256 B to 16 MiB.
    package static let bytes: [Double] = [
        256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    ]

    let name: String
    let help: String
    let type = "histogram"
    private let bounds: [Double]
    private let series = Mutex<[MetricLabels: Series]>([:])

    private struct Series {
        var counts: [Int]
        var sum = 0.0
    }

    init(name: String, help: String, bounds: [Double]) {
        self.name = name
        self.help = help
        self.bounds = bounds
    }

    package func observe(_ value: Double, _ labels: MetricLabels = .none) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        series.withLock {
            $0[labels, default: Series(counts: Array(repeating: 0, count: bounds.count + 1))]
                .counts[bucket] += 1
            $0[labels]?.sum += value
        }
    }

    /// Observations so far.
    package func count(_ labels: MetricLabels = .none) -> Int {
        series.withLock { $0[labels]?.counts.reduce(0, +) ?? 0 }
    }

    package func observe(_ duration: Duration, _ labels: MetricLabels = .none) {
        observe(duration.seconds, labels)
    }

    func render(into text: inout String) {
        for (labels, series) in series.withLock({ $0 }).sorted(by: {
            $0.key.pairs.lexicographicallyPrecedes($1.key.pairs)
        }) {
            var running = 0
            for (index, bound) in bounds.enumerated() {
                running += series.counts[index]
                text += "\(name)_bucket\(labels.rendered(extra: ("le", "\(bound)"))) \(running)\n"
            }
            running += series.counts[bounds.count]
            text += "\(name)_bucket\(labels.rendered(extra: ("le", "+Inf"))) \(running)\n"
            text +=
                "\(name)_sum\(labels.rendered()) \(series.sum)\n\(name)_count\(labels.rendered()) \(running)\n"
        }
    }
}

extension Duration {
    /// The whole duration in seconds.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }

    /// Whole milliseconds, rounded down.
    package var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}
