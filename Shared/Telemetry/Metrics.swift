import Synchronization

/// A metric's labels, in the order in which they are written.
package struct MetricLabels: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    let pairs: [String]

    package static let none: MetricLabels = [:]

    package init(dictionaryLiteral elements: (String, String)...) {
        pairs = elements.flatMap { [$0.0, $0.1] }
    }

    /// - Parameter members: names and values, in the order in which they are written.
    package init(_ members: [(String, String)]) {
        pairs = members.flatMap { [$0.0, $0.1] }
    }

    /// One label with each of some values.
    package static func each(_ name: String, _ values: some Sequence<String>) -> [MetricLabels] {
        values.map { MetricLabels(dictionaryLiteral: (name, $0)) }
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
/// A metric is declared once, where the service is wired, with the names of its labels. The code
/// that counts keeps it. `Docs/metrics.md` lists all metrics, and a test compares.
package final class MetricsRegistry: Sendable {
    private let families = Mutex<[any MetricFamily]>([])
    /// Since when it counts, in microseconds since 1970.
    package let start = WallClock.microseconds

    package init() {}

    /// A number that only grows. Its name ends in `_total`. Without labels it begins at 0, so that
    /// the first event is an increase. The sets of labels in `known` also begin at 0.
    package func counter(
        _ name: String, _ help: String, labels: [String] = [], known: [MetricLabels] = []
    ) -> Counter {
        add(Counter(name: name, help: help, labels: labels, known: known))
    }

    /// The same, counted by somebody else. Read at the moment of the scrape.
    package func counter(
        _ name: String, _ help: String, labels: [String] = [],
        _ read: @escaping @Sendable () -> [(MetricLabels, Double)]
    ) {
        _ = add(Reading(name: name, help: help, type: "counter", labels: labels, values: read))
    }

    /// A number read at the moment of the scrape.
    package func gauge(
        _ name: String, _ help: String, labels: [String] = [],
        _ read: @escaping @Sendable () -> [(MetricLabels, Double)]
    ) {
        _ = add(Reading(name: name, help: help, type: "gauge", labels: labels, values: read))
    }

    /// A single number read at the moment of the scrape; nil while there is none.
    package func value(
        _ name: String, _ help: String, _ read: @escaping @Sendable () -> Double?
    ) {
        gauge(name, help) { read().map { [(.none, $0)] } ?? [] }
    }

    /// Durations in seconds, or sizes, counted into buckets. Its name ends in its unit. It begins
    /// at 0 as a counter does.
    package func histogram(
        _ name: String, _ help: String, labels: [String] = [], known: [MetricLabels] = [],
        buckets: [Double] = Histogram.seconds
    ) -> Histogram {
        add(Histogram(name: name, help: help, labels: labels, known: known, bounds: buckets))
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

    /// Everything, as values.
    package func read() -> [MetricReading] {
        families.withLock { $0 }.map { family in
            MetricReading(
                name: family.name, help: family.help, kind: family.kind, points: family.read())
        }
    }

    /// What is declared: each metric's name, and the names of its labels.
    package var declared: [String: [String]] {
        let pairs = families.withLock { $0 }.map { ($0.name, $0.labels) }
        return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
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
    /// The names of its labels.
    var labels: [String] { get }
    func render(into text: inout String)
    func read() -> [MetricReading.Point]
}

/// A number that only grows, one for each set of labels.
package final class Counter: MetricFamily {
    let name: String
    let help: String
    let type = "counter"
    let labels: [String]
    private let values: Mutex<[MetricLabels: Int]>

    init(name: String, help: String, labels: [String] = [], known: [MetricLabels] = []) {
        self.name = name
        self.help = help
        self.labels = labels
        let zeros = (labels.isEmpty ? [.none] : known).map { ($0, 0) }
        values = Mutex(Dictionary(zeros, uniquingKeysWith: { first, _ in first }))
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

    func read() -> [MetricReading.Point] {
        values.withLock { $0 }.map { .init(labels: $0.key, value: .count($0.value)) }
    }
}

/// Values read when asked.
struct Reading: MetricFamily {
    let name: String
    let help: String
    let type: String
    let labels: [String]
    let values: @Sendable () -> [(MetricLabels, Double)]

    func render(into text: inout String) {
        for (labels, value) in values() { text += "\(name)\(labels.rendered()) \(value)\n" }
    }

    func read() -> [MetricReading.Point] {
        values().map { .init(labels: $0.0, value: .number($0.1)) }
    }
}

/// Observations counted into buckets, one set of buckets for each set of labels.
package final class Histogram: MetricFamily {
    /// Bounds for durations, in seconds: 0.5 ms to 30 s, each at most 5/3 of the one before up to
    /// 5 s, so that a p50, p90 or p99 that is estimated within a bucket is off by less than a
    /// third or so. The objectives' limits are among them.
    package static let seconds: [Double] = [
        0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05,
        0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30,
    ]
    /// Bounds for numbers of rows or changes.
    package static let rows: [Double] = [
        0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000,
    ]
    /// Bounds for bytes: 256 B to 16 MiB.
    package static let bytes: [Double] = [
        256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    ]

    let name: String
    let help: String
    let type = "histogram"
    let labels: [String]
    private let bounds: [Double]
    private let series: Mutex<[MetricLabels: Series]>

    private struct Series {
        var counts: [Int]
        var sum = 0.0

        init(buckets: Int) { counts = Array(repeating: 0, count: buckets) }

        mutating func add(_ value: Double, _ bucket: Int) {
            counts[bucket] += 1
            sum += value
        }
    }

    init(
        name: String, help: String, labels: [String] = [], known: [MetricLabels] = [],
        bounds: [Double]
    ) {
        self.name = name
        self.help = help
        self.labels = labels
        self.bounds = bounds
        let zeros = (labels.isEmpty ? [.none] : known).map {
            ($0, Series(buckets: bounds.count + 1))
        }
        series = Mutex(Dictionary(zeros, uniquingKeysWith: { first, _ in first }))
    }

    package func observe(_ value: Double, _ labels: MetricLabels = .none) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        series.withLock {
            $0[labels, default: Series(buckets: bounds.count + 1)].add(value, bucket)
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
            text += "\(name)_sum\(labels.rendered()) \(series.sum)\n"
            text += "\(name)_count\(labels.rendered()) \(running)\n"
        }
    }

    func read() -> [MetricReading.Point] {
        series.withLock { $0 }.map { labels, series in
            .init(
                labels: labels,
                value: .buckets(bounds: bounds, counts: series.counts, sum: series.sum))
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
