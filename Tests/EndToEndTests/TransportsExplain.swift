import DevStack
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import OverSQLiteAsyncHTTP
import Testing
@testable import OverSQLite

/// What the transports say of connections that a developer has set up wrongly, over real sockets.
@Suite("Transports explain", .timeLimit(.minutes(1)))
struct TransportsExplain {
    enum Kind: CaseIterable {
        case urlSession, asyncHTTP
    }

    @Test("a certificate of an unknown authority is told, and what to do", arguments: Kind.allCases)
    func unknownAuthority(_ kind: Kind) async throws {
        try await withFolder { folder in
            let certificates = try DevelopmentCertificates(in: folder)
            try await AnsweringServer.run(certificates) { port in
                let why = try await complaint(kind, "https://127.0.0.1:\(port)", folder)
                #expect(why.contains("of an authority that this"), "\(why)")
                #expect(why.contains("AsyncHTTPTransport(trusting:)"), "\(why)")
                // The authority that signed it is believed.
                let transport = try AsyncHTTPTransport(trusting: certificates.authority)
                let url = try #require(URL(string: "https://127.0.0.1:\(port)"))
                let answer = try await transport.send(TransportRequest(method: "GET", url: url))
                #expect(answer.status == 204)
                try await transport.shutdown()
            }
        }
    }

    @Test("http where TLS is spoken is told, and https where it is not", arguments: Kind.allCases)
    func wrongScheme(_ kind: Kind) async throws {
        try await withFolder { folder in
            try await AnsweringServer.run(try DevelopmentCertificates(in: folder)) { port in
                let why = try await complaint(kind, "http://127.0.0.1:\(port)", folder)
                #expect(why.contains("a gateway does that speaks TLS: try https://"), "\(why)")
            }
            try await AnsweringServer.run(nil) { port in
                let why = try await complaint(kind, "https://127.0.0.1:\(port)", folder)
                #expect(why.contains("does not speak TLS: try http://"), "\(why)")
            }
        }
    }

    @Test("nobody at the address is told as it is", arguments: Kind.allCases)
    func nobody(_ kind: Kind) async throws {
        try await withFolder { folder in
            let socket = try boundSocket()
            defer { close(socket.descriptor) }
            let why = try await complaint(kind, "http://127.0.0.1:\(socket.port)", folder)
            #expect(!why.contains("try http"), "\(why)")
            #expect(why.lowercased().contains("connect"), "\(why)")
        }
    }

    @Test("a file without an authority's certificate is named")
    func authorityFile() async throws {
        try await withFolder { folder in
            let path = folder + "/ca.pem"
            let absent = #expect(throws: TransportFailure.self) {
                _ = try AsyncHTTPTransport(trusting: path)
            }
            #expect(absent?.hint == "\(path), the authority to trust, does not exist")
            for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nxyz\n"] {
                try text.write(toFile: path, atomically: true, encoding: .utf8)
                let garbled = #expect(throws: TransportFailure.self) {
                    _ = try AsyncHTTPTransport(trusting: path)
                }
                #expect(
                    garbled?.hint.hasPrefix("\(path), the authority to trust, holds no") == true)
            }
        }
    }

    /// What sync says of a gateway at the address; the transport of AsyncHTTPClient trusts an authority of its own.
    private func complaint(_ kind: Kind, _ address: String, _ folder: String) async throws -> String
    {
        let url = try #require(URL(string: address))
        let transport: any HTTPTransport
        var end: () async throws -> Void = {}
        switch kind {
        case .urlSession: transport = URLSessionTransport()
        case .asyncHTTP:
            let others = try DevelopmentCertificates(in: try subfolder(folder))
            let asyncHTTP = try AsyncHTTPTransport(trusting: others.authority)
            transport = asyncHTTP
            end = { try await asyncHTTP.shutdown() }
        }
        let client = GatewayClient(
            base: url, schema: "business", transport: transport, epoch: { nil },
            credentials: { "token" }, identify: { _ in })
        let error = await #expect(throws: SyncError.self) { _ = try await client.bootstrap() }
        try await end()
        guard case .unreachable(let why)? = error else { return "\(String(describing: error))" }
        return why
    }

    /// A port that is taken and not listened at, so that nobody else answers there meanwhile.
    private func boundSocket() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0
                    ? getsockname(descriptor, pointer, &length) : -1
            }
        }
        try #require(result == 0)
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "oversync-transports-\(UUID().uuidString)"
        ).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    private func subfolder(_ folder: String) throws -> String {
        let path = folder + "/other"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

/// A server on loopback that answers whatever is asked, with TLS or without.
private enum AnsweringServer {
    private static let answer = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"

    static func run(
        _ certificates: DevelopmentCertificates?, _ body: (_ port: Int) async throws -> Void
    ) async throws {
        let tls = try certificates.map { files in
            try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map {
                        .certificate($0)
                    },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem))))
        }
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.addHandler(Answering())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        do { try await body(port) } catch {
            try await listener.close()
            throw error
        }
        try await listener.close()
    }

    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = context.channel.allocator.buffer(string: answer)
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
