import Synchronization
import Traces

/// Finished spans that wait to be sent: a bounded number. Those beyond are lost, so that a
/// collector that is down costs no request anything.
final class SpanQueue: SpanSink {
    private let limit: Int
    private let batch: Int
    private let metrics: ExportMetrics
    private let waiting = Mutex<[FinishedSpan]>([])
    private let wakeUp: AsyncStream<Void>.Continuation
    /// One for each time that a batch is full.
    let wakeUps: AsyncStream<Void>

    /// - Parameters:
    ///   - limit: spans that wait at most.
    ///   - batch: spans that are sent at once.
    init(limit: Int, batch: Int, metrics: ExportMetrics) {
        self.limit = limit
        self.batch = batch
        self.metrics = metrics
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var count: Int { waiting.withLock { $0.count } }

    func take(_ span: FinishedSpan) {
        let count: Int? = waiting.withLock { waiting in
            guard waiting.count < limit else { return nil }
            waiting.append(span)
            return waiting.count
        }
        guard let count else { return metrics.count(lost: 1, .queueFull) }
        if count == batch { wake() }
    }

    /// Takes out the oldest ones; nil if none waits.
    func next() -> [FinishedSpan]? {
        waiting.withLock { waiting in
            guard !waiting.isEmpty else { return nil }
            let first = Array(waiting.prefix(batch))
            waiting.removeFirst(first.count)
            return first
        }
    }

    /// Has the spans sent that wait.
    func wake() { wakeUp.yield() }
}
