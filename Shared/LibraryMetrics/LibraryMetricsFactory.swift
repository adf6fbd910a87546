import CoreMetrics
import Synchronization
import Telemetry

/// What libraries measure through swift-metrics, in our registry: as `library_…`.
///
/// Libraries choose names and labels as they like, perhaps by what comes from outside. So there are
/// a bounded number of each; what is beyond is dropped, and counted.
package final class LibraryMetricsFactory: MetricsFactory {
    /// Names that are kept.
    package static let maximumNames = 200
    /// Sets of labels of one name that are kept.
    package static let maximumSeries = 100

    /// What a name is. It stays what it was first.
    private enum Family {
        case numbers(LibraryNumbers)
        case histogram(Histogram)
    }

    private struct Known {
        let type: LibraryName.Form
        let labels: [String]
        let family: Family
        var series: Set<MetricLabels> = []
    }

    private let registry: MetricsRegistry
    private let known = Mutex<[String: Known]>([:])
    private let dropped: Telemetry.Counter

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        dropped = registry.counter(
            "oversync_library_metrics_dropped_total",
            "Measurements of libraries that have no place, as there are too many names or labels")
    }

    /// Has everything that libraries measure from now on appear in the registry. Once a process,
    /// before it serves: what was made before is measured for nobody.
    package static func collect(into registry: MetricsRegistry) {
        MetricsSystem.bootstrap(LibraryMetricsFactory(registry))
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        numbers(.counter, label, dimensions)
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        numbers(.counter, label, dimensions)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        numbers(.gauge, label, dimensions)
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        aggregate
            ? observations(.sizes, label, dimensions)
            : numbers(.gauge, label, dimensions) as any RecorderHandler
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        observations(.seconds, label, dimensions)
    }

    /// A counter that comes again goes on where it was.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    package func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
    package func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }

    /// What is measured no more has no last value.
    private func forget(_ handler: AnyObject) {
        guard let series = handler as? NumberSeries, let numbers = series.numbers else { return }
        numbers.forget(series.labels)
        known.withLock { _ = $0[numbers.name]?.series.remove(series.labels) }
    }

    private func numbers(
        _ form: LibraryName.Form, _ label: String, _ dimensions: [(String, String)]
    ) -> NumberSeries {
        let name = LibraryName(label, form, dimensions)
        guard case .numbers(let numbers)? = family(name) else {
            return NumberSeries(nil, name.labels, dropped)
        }
        return NumberSeries(numbers, name.labels, dropped)
    }

    private func observations(
        _ form: LibraryName.Form, _ label: String, _ dimensions: [(String, String)]
    ) -> ObservationSeries {
        let name = LibraryName(label, form, dimensions)
        guard case .histogram(let histogram)? = family(name) else {
            return ObservationSeries(nil, name.labels, dropped)
        }
        return ObservationSeries(histogram, name.labels, dropped)
    }

    /// - Returns: nil if there is no place for it.
    private func family(_ name: LibraryName) -> Family? {
        known.withLock { known -> Family? in
            if let there = known[name.text] {
                guard there.type == name.form, there.labels == name.labelNames else { return nil }
                if there.series.contains(name.labels) { return there.family }
                guard there.series.count < Self.maximumSeries else { return nil }
                known[name.text]?.series.insert(name.labels)
                return there.family
            }
            guard known.count < Self.maximumNames else { return nil }
            let family = declare(name)
            known[name.text] = Known(
                type: name.form, labels: name.labelNames, family: family, series: [name.labels])
            return family
        }
    }

    private func declare(_ name: LibraryName) -> Family {
        let help = "Measured by a library"
        switch name.form {
        case .counter, .gauge:
            let numbers = LibraryNumbers(name: name.text)
            if name.form == .counter {
                registry.counter(name.text, help, labels: name.labelNames) { numbers.all }
            } else {
                registry.gauge(name.text, help, labels: name.labelNames) { numbers.all }
            }
            return .numbers(numbers)
        case .seconds:
            return .histogram(
                registry.histogram(name.text, help, labels: name.labelNames, known: [name.labels]))
        case .sizes:
            return .histogram(
                registry.histogram(
                    name.text, help, labels: name.labelNames, known: [name.labels],
                    buckets: LibraryName.sizes))
        }
    }
}

/// The numbers of one name, by their labels.
final class LibraryNumbers: Sendable {
    let name: String
    private let numbers = Mutex<[MetricLabels: Double]>([:])

    init(name: String) { self.name = name }

    var all: [(MetricLabels, Double)] {
        numbers.withLock { $0 }.map { ($0.key, $0.value) }
    }

    func set(_ labels: MetricLabels, _ change: (Double) -> Double) {
        numbers.withLock { $0[labels] = change($0[labels] ?? 0) }
    }

    func forget(_ labels: MetricLabels) {
        numbers.withLock { $0[labels] = nil }
    }
}

/// One set of labels of a counter or gauge.
final class NumberSeries: CounterHandler, FloatingPointCounterHandler, MeterHandler,
    RecorderHandler
{
    /// Nil: there was no place for it.
    let numbers: LibraryNumbers?
    let labels: MetricLabels
    private let dropped: Telemetry.Counter

    init(_ numbers: LibraryNumbers?, _ labels: MetricLabels, _ dropped: Telemetry.Counter) {
        self.numbers = numbers
        self.labels = labels
        self.dropped = dropped
    }

    func increment(by amount: Int64) { change { $0 + Double(amount) } }
    func increment(by amount: Double) { change { $0 + amount } }
    func decrement(by amount: Double) { change { $0 - amount } }
    func set(_ value: Int64) { change { _ in Double(value) } }
    func set(_ value: Double) { change { _ in value } }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }
    func reset() { change { _ in 0 } }

    private func change(_ body: (Double) -> Double) {
        guard let numbers else { return dropped.add() }
        numbers.set(labels, body)
    }
}

/// One set of labels of a histogram.
final class ObservationSeries: RecorderHandler, TimerHandler {
    private let histogram: Histogram?
    private let labels: MetricLabels
    private let dropped: Telemetry.Counter

    init(_ histogram: Histogram?, _ labels: MetricLabels, _ dropped: Telemetry.Counter) {
        self.histogram = histogram
        self.labels = labels
        self.dropped = dropped
    }

    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func record(_ value: Double) {
        // A sum with one that is no number would be none for ever.
        guard let histogram, value.isFinite else { return dropped.add() }
        histogram.observe(value, labels)
    }
}
