import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import OverSQLite

/// Serves a transport over real HTTP on loopback, so that devices meet sockets and not calls.
struct LoopbackServer: HTTPResponder {
    typealias Context = BasicRequestContext

    /// Largest body taken, in bytes.
    private static let maximumBodyBytes = 32 << 20

    let transport: any HTTPTransport

    /// Runs a server while `body` runs.
    static func run(
        _ transport: any HTTPTransport,
        _ body: @escaping @Sendable (_ url: String) async throws -> Void
    ) async throws {
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        var logger = Logger(label: "loopback")
        logger.logLevel = .error
        let application = Application(
            responder: LoopbackServer(transport: transport),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { continuation.yield(port) }
                continuation.finish()
            }, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            group.addTask {
                for await port in ports { try await body("http://127.0.0.1:\(port)") }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        var headers: [String: String] = [:]
        for field in request.headers { headers[field.name.canonicalName] = field.value }
        guard let url = URL(string: "http://loopback" + request.uri.string) else {
            throw HTTPError(.badRequest)
        }
        let body = try await request.body.collect(upTo: Self.maximumBodyBytes)
        let answer = try await transport.send(
            TransportRequest(
                method: request.method.rawValue, url: url, headers: headers,
                body: Array(body.readableBytesView)))
        var fields = HTTPFields()
        for (name, value) in answer.headers {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        return Response(
            status: .init(code: answer.status), headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
    }
}
