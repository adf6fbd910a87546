import AsyncHTTPClient
import LogFields
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import ServiceKit
import SwiftProtobuf

/// An address of the collector, and how it is spoken to: OTLP over HTTP with protobuf.
struct Collector: Sendable {
    /// Most bytes of an answer that are read.
    private static let maximumAnswerBytes = 64 << 10

    let url: String
    let fields: [NamedText]
    /// Longest time of one request, with its answer.
    var requestTime: Duration
    let client: HTTPClient

    /// What sends, for as long as `body` runs.
    static func with<Value: Sendable>(
        _ url: String, _ settings: ExportSettings,
        _ body: @Sendable (Collector) async throws -> Value
    ) async throws -> Value {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if let authorities = settings.authorities { tls.trustRoots = .file(authorities) }
        // Keys are for this address, and for no other one that it names.
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = TimeAmount(settings.requestTime)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1
        // Spans of the sending of spans would never end.
        configuration.tracing.tracer = nil
        return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
            try await body(
                Collector(
                    url: url, fields: settings.fields, requestTime: settings.requestTime,
                    client: client))
        }
    }

    /// Sends a request once.
    ///
    /// - Parameter rejected: reads from an answer how many of the things that it took were not.
    /// - Throws: `CancellationError` alone.
    func send(
        _ bytes: ByteBuffer, rejected: @escaping @Sendable (ByteBuffer) throws -> Int64
    ) async throws -> CollectorAnswer {
        do {
            return try await within(requestTime) {
                let response = try await client.execute(
                    request(bytes), timeout: TimeAmount(requestTime))
                guard (200..<300).contains(response.status.code) else {
                    return CollectorAnswer(
                        status: response.status,
                        retryAfter: response.headers.first(name: "Retry-After"))
                }
                let answer = try await response.body.collect(upTo: Self.maximumAnswerBytes)
                // Taken, whatever else a collector says that does not know the protocol.
                let number = (try? rejected(answer)) ?? 0
                return .taken(rejected: Int(clamping: max(0, number)))
            }
        } catch is NIOTooManyBytesError {
            return .taken(rejected: 0)
        } catch {
            if Task.isCancelled { throw CancellationError() }
            return .later(why: Self.reason(error), pause: nil)
        }
    }

    private func request(_ bytes: ByteBuffer) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        for field in fields { request.headers.replaceOrAdd(name: field.name, value: field.text) }
        request.headers.replaceOrAdd(name: "Content-Type", value: "application/x-protobuf")
        request.headers.replaceOrAdd(
            name: "User-Agent", value: "oversync/\(BuildInfo.version)")
        request.body = .bytes(bytes)
        return request
    }

    private static func reason(_ error: any Error) -> String {
        error is TooSlow ? "it did not answer in time" : "it cannot be reached: \(error)"
    }

    private struct TooSlow: Error {}

    /// The time of the answer's head and of its body together.
    private func within<Value: Sendable>(
        _ time: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: time)
                throw TooSlow()
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }
}

/// Tells the log of a collector that does not take what it is sent: once, and when it does again.
struct CollectorTrouble {
    let signal: ExportMetrics.Signal
    let collector: Collector
    let metrics: ExportMetrics
    let logger: Logger
    private var isOn = false

    init(
        _ signal: ExportMetrics.Signal, _ collector: Collector, _ metrics: ExportMetrics,
        _ logger: Logger
    ) {
        self.signal = signal
        self.collector = collector
        self.metrics = metrics
        self.logger = logger
    }

    /// - Parameter why: a request was not taken; nil: it was.
    mutating func observe(_ why: String?) {
        metrics.count(signal, isTaken: why == nil)
        let isNews = isOn != (why != nil)
        isOn = why != nil
        guard isNews else { return }
        var metadata: Logger.Metadata = .fields([.address: "\(collector.url)"])
        guard let why else {
            return logger.info("the collector takes \(signal.rawValue) again", metadata: metadata)
        }
        metadata[.reason] = "\(why)"
        logger.warning("the collector does not take \(signal.rawValue)", metadata: metadata)
    }
}
