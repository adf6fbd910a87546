import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Protos
import SwiftProtobuf
import Synchronization

/// A collector of OTLP on real sockets: decodes what it gets, and answers as a test says.
package final class TestCollector: Sendable {
    package enum Answer: Sendable {
        case taken
        /// Taken, except for this many.
        case rejecting(Int64)
        case status(UInt, _ fields: [String: String] = [:])
        /// Success, with a body that is no answer.
        case nonsense
        /// Never answers.
        case silent
    }

    package struct Request: Sendable {
        package let path: String
        package let fields: HTTPHeaders
        package let bytes: [UInt8]
        package let time: ContinuousClock.Instant

        package var spans: [OTLPSpan] {
            resourceSpans.flatMap { $0.scopeSpans.flatMap(\.spans) }
        }

        package var resourceSpans: [OTLPResourceSpans] {
            guard path.hasSuffix("traces") else { return [] }
            return (try? OTLPExportTraceServiceRequest(serializedBytes: bytes))?.resourceSpans ?? []
        }

        package var resourceMetrics: [OTLPResourceMetrics] {
            guard path.hasSuffix("metrics") else { return [] }
            return (try? OTLPExportMetricsServiceRequest(serializedBytes: bytes))?.resourceMetrics
                ?? []
        }
    }

    private struct State {
        var answers: [Answer]
        var requests: [Request] = []
        var waiters: [Waiter] = []
    }

    private struct Waiter {
        let isEnough: @Sendable ([Request]) -> Bool
        let continuation: CheckedContinuation<[Request], Never>
    }

    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    package let port: Int
    private let state: Mutex<State>

    private init(port: Int, _ answers: [Answer]) {
        self.port = port
        state = Mutex(State(answers: answers))
    }

    package var requests: [Request] { state.withLock { $0.requests } }

    /// Returns once the requests so far are enough.
    package func requests(
        until isEnough: @escaping @Sendable ([Request]) -> Bool
    ) async -> [Request] {
        await withCheckedContinuation { continuation in
            let found: [Request]? = state.withLock { state in
                if isEnough(state.requests) { return state.requests }
                state.waiters.append(Waiter(isEnough: isEnough, continuation: continuation))
                return nil
            }
            if let found { continuation.resume(returning: found) }
        }
    }

    /// Runs a collector for `body`.
    ///
    /// - Parameters:
    ///   - tls: paths of a certificate and its key; nil: without TLS.
    ///   - answers: to the first requests. Later ones are taken.
    package static func with(
        tls: (certificate: String, key: String)? = nil, _ answers: [Answer] = [],
        _ body: @Sendable (TestCollector) async throws -> Void
    ) async throws {
        let context = try tls.map { files in
            try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map {
                        .certificate($0)
                    },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem))))
        }
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context {
                        try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    }
                    try pipeline.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let collector = TestCollector(port: channel.channel.localAddress?.port ?? 0, answers)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await channel.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { group in
                        for try await connection in connections {
                            group.addTask { try? await collector.serve(connection) }
                        }
                    }
                }
            }
            try await body(collector)
            group.cancelAll()
        }
    }

    private func serve(_ connection: Connection) async throws {
        try await connection.executeThenClose { parts, out in
            var head: HTTPRequestHead?
            var bytes: [UInt8] = []
            for try await part in parts {
                switch part {
                case .head(let new): (head, bytes) = (new, [])
                case .body(let more): bytes += Array(more.readableBytesView)
                case .end:
                    guard let head else { continue }
                    let request = Request(
                        path: head.uri, fields: head.headers, bytes: bytes, time: .now)
                    try await Self.write(take(request), to: request.path, out)
                }
            }
        }
    }

    private func take(_ request: Request) -> Answer {
        let (answer, satisfied) = state.withLock { state in
            state.requests.append(request)
            let requests = state.requests
            let satisfied = state.waiters.filter { $0.isEnough(requests) }
            state.waiters.removeAll { $0.isEnough(requests) }
            let answer = state.answers.isEmpty ? Answer.taken : state.answers.removeFirst()
            return (answer, satisfied.map { ($0.continuation, requests) })
        }
        for (continuation, requests) in satisfied { continuation.resume(returning: requests) }
        return answer
    }

    private static func write(
        _ answer: Answer, to path: String,
        _ out: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>
    ) async throws {
        func write(_ status: UInt, _ fields: [String: String], _ bytes: [UInt8]) async throws {
            var headers = HTTPHeaders(fields.map { ($0.key, $0.value) })
            headers.add(name: "Content-Length", value: "\(bytes.count)")
            try await out.write(
                .head(
                    HTTPResponseHead(
                        version: .http1_1, status: .init(statusCode: Int(status)), headers: headers)
                ))
            try await out.write(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
            try await out.write(.end(nil))
        }
        switch answer {
        case .taken: try await write(200, [:], [])
        case .rejecting(let number):
            let bytes: [UInt8] =
                path.hasSuffix("traces")
                ? try OTLPExportTraceServiceResponse.with {
                    $0.partialSuccess.rejectedSpans = number
                }.serializedBytes()
                : try OTLPExportMetricsServiceResponse.with {
                    $0.partialSuccess.rejectedDataPoints = number
                }.serializedBytes()
            try await write(200, [:], bytes)
        case .status(let status, let fields): try await write(status, fields, [])
        case .nonsense: try await write(200, [:], Array("<html>welcome</html>".utf8))
        case .silent: return
        }
    }
}
