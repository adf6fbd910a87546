import Histogram

/// What one measurement saw.
struct Measurement: Codable, Sendable {
    /// What tells it from others of the same scenario; empty where its round does.
    var label = ""
    /// Changes, rows or requests.
    var units: Int
    var requests: Int
    /// Requests that were told 503 instead.
    var refused = 0
    var seconds: Double
    /// Units a second from the first connection on until the measurement began.
    var warmUpRate: Double?
    var latency: LatencySummary?
    var usage = ProcessUsage()

    var rate: Double { seconds > 0 ? Double(units) / seconds : 0 }

    /// Mean time of a request in milliseconds, with this number of clients; nil without requests.
    func meanMilliseconds(clients: Int) -> Double? {
        requests > 0 ? seconds * 1000 * Double(clients) / Double(requests) : nil
    }

    /// Milliseconds of processor time for each 1000 units.
    func cost(_ processorSeconds: Double) -> Double {
        units > 0 ? processorSeconds * 1_000_000 / Double(units) : 0
    }
}

/// A distribution of latencies, in milliseconds.
struct LatencySummary: Codable, Hashable, Sendable {
    var p50: Double
    var p90: Double
    var p95: Double
    var p99: Double
    var p999: Double
    var max: Double

    /// - Parameter histogram: of microseconds; nil when it is empty.
    init?(_ histogram: Histogram<UInt64>) {
        guard histogram.totalCount > 0 else { return nil }
        func milliseconds(_ percentile: Double) -> Double {
            Double(histogram.valueAtPercentile(percentile)) / 1000
        }
        p50 = milliseconds(50)
        p90 = milliseconds(90)
        p95 = milliseconds(95)
        p99 = milliseconds(99)
        p999 = milliseconds(99.9)
        max = Double(histogram.max) / 1000
    }
}

/// What made the load may not be what limits it.
enum GeneratorShare {
    /// Largest share of the machine's processors that the load may take, 0 to 1.
    static let most = 0.5

    /// The share of all processors that made the load took, 0 to 1.
    static func share(_ measurement: Measurement, cores: Int) -> Double {
        let used = measurement.usage.seconds[ProcessUsage.generator] ?? 0
        return measurement.seconds > 0 ? used / (measurement.seconds * Double(cores)) : 0
    }

    /// Whether the load took more than its part, or more than all servers together.
    static func isBottleneck(_ measurement: Measurement, cores: Int) -> Bool {
        let used = measurement.usage.seconds[ProcessUsage.generator] ?? 0
        return share(measurement, cores: cores) > most || used > measurement.usage.servers
    }
}

/// Middle values.
enum Median {
    /// The middle one, or the mean of the two in the middle; nil of nothing.
    static func of(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

extension [Measurement] {
    /// The median of what each measurement says; nil of no measurement, or where one says nothing.
    func median(_ value: (Measurement) -> Double?) -> Double? {
        let values = compactMap(value)
        return values.count == count ? Median.of(values) : nil
    }

    var rate: Double? { median(\.rate) }

    /// Less than that of all the time used is not worth a word.
    private static var leastShare: Double { 0.005 }

    /// Median cost of each process for each 1000 units, in ms, the dearest first.
    var costs: [(process: String, milliseconds: Double)] {
        let names = Set(flatMap(\.usage.seconds.keys))
        let all: [(process: String, milliseconds: Double)] = names.compactMap { name in
            median { $0.cost($0.usage.seconds[name] ?? 0) }.map { (name, $0) }
        }
        let least = all.reduce(0.0) { $0 + $1.milliseconds } * Self.leastShare
        return all.filter { $0.milliseconds > least }.sorted { $0.milliseconds > $1.milliseconds }
    }

    /// The medians of the latencies.
    var latency: (p50: Double, p99: Double)? {
        guard let p50 = median({ $0.latency?.p50 }), let p99 = median({ $0.latency?.p99 }) else {
            return nil
        }
        return (p50, p99)
    }
}
