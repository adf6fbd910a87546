import Logging
import NIOCore
import Protos
import ServiceKit
import ServiceLifecycle
import SwiftProtobuf
import Traces
import Waiting

/// Sends the spans that wait, a batch a request, one request at a time.
struct SpanPush: Service {
    /// Longest time that the last spans have when the process ends.
    private static let farewell: Duration = .seconds(1)

    let url: String
    let settings: ExportSettings
    let queue: SpanQueue
    let metrics: ExportMetrics
    let logger: Logger

    func run() async throws {
        try await Collector.with(url, settings) { collector in
            let sender = SpanSender(
                collector, ExportOrigin(settings.process), metrics, logger,
                patience: settings.longestTrouble)
            var rest = await cancelWhenGracefulShutdown { await sendUntilDone(sender) }
            await rest.send(restOf: queue, within: Self.farewell)
        }
    }

    private func sendUntilDone(_ sender: SpanSender) async -> SpanSender {
        var sender = sender
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while (try? await Task.sleep(for: settings.longestWait)) != nil { queue.wake() }
            }
            for await _ in queue.wakeUps {
                while !Task.isCancelled, let spans = queue.next() { await sender.send(spans) }
            }
            group.cancelAll()
        }
        return sender
    }
}

/// Sends batches until they are taken, or it is of no use.
struct SpanSender: Sendable {
    /// Pauses before a request is repeated, where the collector does not name one.
    private static let backoff = Backoff(
        first: .milliseconds(500), longest: .seconds(5), steadyShare: 0.5)

    private var collector: Collector
    private let origin: ExportOrigin
    private let metrics: ExportMetrics
    /// How long a batch is sent again and again.
    private var patience: Duration
    private var trouble: CollectorTrouble
    /// Until then the collector has asked to be left alone.
    private var notBefore = ContinuousClock.now
    /// A batch whose sending was interrupted: the collector may have it or not. It knows spans that
    /// it has by their ids.
    private var interrupted: [FinishedSpan] = []

    init(
        _ collector: Collector, _ origin: ExportOrigin, _ metrics: ExportMetrics,
        _ logger: Logger, patience: Duration
    ) {
        self.collector = collector
        self.origin = origin
        self.metrics = metrics
        self.patience = patience
        trouble = CollectorTrouble(.traces, collector, metrics, logger)
    }

    /// Sends a batch. Meanwhile others wait in their queue.
    mutating func send(_ spans: [FinishedSpan]) async {
        guard let bytes = try? origin.request(spans).serializedBytes() as [UInt8] else {
            return metrics.count(lost: spans.count, .refused)
        }
        do {
            if notBefore > .now { try await Task.sleep(until: notBefore) }
            try await send(ByteBuffer(bytes: bytes), of: spans.count)
        } catch {
            interrupted = spans
        }
    }

    /// - Throws: `CancellationError` alone.
    private mutating func send(_ body: ByteBuffer, of spans: Int) async throws {
        let end = ContinuousClock.now + patience
        var backoff = Self.backoff
        while true {
            switch try await collector.send(body, rejected: Self.rejected) {
            case .taken(let rejected):
                trouble.observe(nil)
                return metrics.count(lost: min(rejected, spans), .rejected)
            case .refused(let why):
                trouble.observe(why)
                return metrics.count(lost: spans, .refused)
            case .later(let why, let asked):
                trouble.observe(why)
                let pause = asked ?? backoff.fail(jitter: .random(in: 0...1))
                if asked != nil { notBefore = .now + pause }
                guard .now + pause < end else {
                    return metrics.count(lost: spans, .unavailable)
                }
                try await Task.sleep(for: pause)
            }
        }
    }

    /// Sends what is left at the end of the process.
    mutating func send(restOf queue: SpanQueue, within time: Duration) async {
        let end = ContinuousClock.now + time
        var next: [FinishedSpan]? = interrupted.isEmpty ? queue.next() : interrupted
        while let spans = next {
            patience = end - .now
            collector.requestTime = min(patience, collector.requestTime)
            if patience > .zero, notBefore < end {
                await send(spans)
            } else {
                metrics.count(lost: spans.count, .unavailable)
            }
            next = queue.next()
        }
    }

    private static let rejected: @Sendable (ByteBuffer) throws -> Int64 = { answer in
        try OTLPExportTraceServiceResponse(serializedBytes: Array(answer.readableBytesView))
            .partialSuccess.rejectedSpans
    }
}
