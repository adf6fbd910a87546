import Logging
import NIOCore
import Protos
import ServiceKit
import ServiceLifecycle
import SwiftProtobuf
import Telemetry

/// Sends all metrics again and again. What is not taken is not repeated: the next sending tells
/// more.
struct MetricsPush: Service {
    let url: String
    let settings: ExportSettings
    let registry: MetricsRegistry
    let metrics: ExportMetrics
    let logger: Logger

    func run() async throws {
        try await Collector.with(url, settings) { collector in
            await cancelWhenGracefulShutdown {
                var trouble = CollectorTrouble(.metrics, collector, metrics, logger)
                while (try? await Task.sleep(for: settings.metricsEvery)) != nil {
                    await send(to: collector, &trouble)
                }
            }
            // The last numbers of a process that ends.
            var last = collector
            last.requestTime = min(Self.farewell, settings.requestTime)
            var trouble = CollectorTrouble(.metrics, collector, metrics, logger)
            await send(to: last, &trouble)
        }
    }

    /// Longest time that the last numbers have when the process ends.
    private static let farewell: Duration = .seconds(1)

    private func send(to collector: Collector, _ trouble: inout CollectorTrouble) async {
        let request = ExportOrigin(settings.process).request(
            registry.read(), since: registry.start, now: WallClock.microseconds)
        guard let bytes = try? request.serializedBytes() as [UInt8],
            let answer = try? await collector.send(
                ByteBuffer(bytes: bytes), rejected: Self.rejected)
        else { return }
        switch answer {
        case .taken(rejected: 0): trouble.observe(nil)
        case .taken(let points): trouble.observe("it rejected \(points) points")
        case .later(let why, _), .refused(let why): trouble.observe(why)
        }
    }

    private static let rejected: @Sendable (ByteBuffer) throws -> Int64 = { answer in
        try OTLPExportMetricsServiceResponse(serializedBytes: Array(answer.readableBytesView))
            .partialSuccess.rejectedDataPoints
    }
}
