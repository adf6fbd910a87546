import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// A server that publishes an issuer's keys, or fails to.
final class IssuerServer: Sendable {
    enum Answer: Sendable {
        case document(String)
        case status(UInt, location: String = "")
        /// Begins an answer, and never ends it.
        case stalled
        /// Never begins one.
        case silent
        case endless
    }

    private struct State {
        var answer: Answer
        var requests = 0
    }

    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    let port: Int
    private let state: Mutex<State>

    private init(port: Int, _ answer: Answer) {
        self.port = port
        state = Mutex(State(answer: answer))
    }

    var answer: Answer {
        get { state.withLock { $0.answer } }
        set { state.withLock { $0.answer = newValue } }
    }

    var requests: Int { state.withLock { $0.requests } }

    /// Runs a server for `body`.
    ///
    /// - Parameter certificate: nil: without TLS.
    static func with(
        _ certificate: TestCertificate?, _ answer: Answer,
        _ body: @Sendable (IssuerServer) async throws -> Void
    ) async throws {
        let tls = try certificate.map { files in
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
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let server = IssuerServer(port: channel.channel.localAddress?.port ?? 0, answer)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await channel.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { group in
                        for try await connection in connections {
                            group.addTask { try? await server.serve(connection) }
                        }
                    }
                }
            }
            try await body(server)
            group.cancelAll()
        }
    }

    private func serve(_ connection: Connection) async throws {
        try await connection.executeThenClose { requests, out in
            for try await part in requests {
                guard case .end = part else { continue }
                let answer = state.withLock { state in
                    state.requests += 1
                    return state.answer
                }
                try await Self.write(answer, out)
            }
        }
    }

    private static func write(
        _ answer: Answer, _ out: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>
    ) async throws {
        func begin(_ status: UInt, _ headers: HTTPHeaders) async throws {
            try await out.write(
                .head(
                    HTTPResponseHead(
                        version: .http1_1, status: .init(statusCode: Int(status)), headers: headers)
                ))
        }
        switch answer {
        case .document(let text):
            try await begin(200, ["Content-Length": String(text.utf8.count)])
            try await out.write(.body(.byteBuffer(ByteBuffer(string: text))))
            try await out.write(.end(nil))
        case .status(let status, let location):
            try await begin(status, ["Content-Length": "0", "Location": location])
            try await out.write(.end(nil))
        case .stalled:
            try await begin(200, ["Content-Length": "100"])
            try await out.write(.body(.byteBuffer(ByteBuffer(string: #"{"keys":["#))))
        case .silent: return
        case .endless:
            try await begin(200, ["Transfer-Encoding": "chunked"])
            let spaces = ByteBuffer(repeating: UInt8(ascii: " "), count: 64 << 10)
            // Until the client has enough.
            while true { try await out.write(.body(.byteBuffer(spaces))) }
        }
    }
}
