import APIDescription
import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Programs
import Synchronization
import TestTokens
import Testing
import Tokens

/// A stack whose every answer is compared with `openapi.yaml`, and two more gateways: one that
/// allows a request a second, and one that has no services. The former signs nobody in.
struct DescribedScene: Sendable {
    /// Longest answer that is read, in bytes.
    private static let maximumBytes = 1 << 20

    let stack: StackAddress
    let client: HTTPClient
    let described: APIDescription
    /// Addresses of the other gateways.
    let narrow: String
    let lonely: String
    /// Of an issuer whose tokens name no device.
    let issuer: TestKey
    /// Of the back end `shop`.
    let clientSecret: String
    private let seen = Seen()

    init(
        _ stack: StackAddress, _ client: HTTPClient, _ described: APIDescription,
        others: (narrow: String, lonely: String), _ issuer: TestKey, clientSecret: String
    ) {
        (self.stack, self.client, self.described) = (stack, client, described)
        (narrow, lonely) = others
        (self.issuer, self.clientSecret) = (issuer, clientSecret)
    }

    private final class Seen: Sendable {
        let answers = Mutex<Set<APIDescription.Answer>>([])
    }

    /// The answers that came so far.
    var exercised: Set<APIDescription.Answer> { seen.answers.withLock { $0 } }

    /// What is asked.
    struct Question: Sendable {
        var query = ""
        var headers: HTTPHeaders = [:]
        var body: String?
    }

    func token(
        _ user: String = "ann", _ device: String = "phone", roles: [String] = ["admin"]
    ) async throws -> String {
        try await stack.token(user: user, device: device, roles: roles)
    }

    /// A token of the issuer, which names no device.
    func issuerToken(_ user: String) throws -> String {
        let now = Int(Date().timeIntervalSince1970)
        return try issuer.token(["iss": "a", "aud": "a", "sub": user, "exp": now + 600])
    }

    /// A question that any gateway with its services answers with 200.
    func good(_ operation: String) -> Question {
        let credentials = "&client_id=shop&client_secret=\(clientSecret)"
        let form = "grant_type=client_credentials&user=customer-7&device=web"
        return switch operation {
        case "POST /sync/upload": Question(body: #"{"changes":[]}"#)
        case "POST /sync/rows":
            Question(body: #"{"schema":"business","table":"users","keys":[]}"#)
        case "POST /sync/keys": Question(body: #"{"tables":[]}"#)
        // Its first event comes at once: no log ends there.
        case "GET /sync/watch": Question(query: "?after=1")
        case "GET /admin/users": Question(query: "?user=ann")
        case "GET /admin/devices/explain": Question(query: "?user=ann&device=phone")
        case "GET /admin/rows":
            Question(
                query: "?user=ann&schema=business&table=users&pk=\(UUID().uuidString)")
        case "POST /admin/materialize-failures/retry": Question(query: "?id=1")
        case "POST /admin/devices/revoke", "POST /admin/devices/restore":
            Question(body: #"{"user_id":"ann","source_id":"lost"}"#)
        case "POST /auth/token":
            Question(
                headers: ["content-type": "application/x-www-form-urlencoded"],
                body: form + credentials)
        case "POST /dev/sign-in", "POST /dummy-signin":
            Question(body: #"{"user":"u","device":"d"}"#)
        default: Question()
        }
    }

    /// Asks, and compares the answer with its description.
    ///
    /// - Parameters:
    ///   - operation: such as `GET /health`.
    ///   - method: the request's, where it is not the operation's.
    ///   - token: nil is that of an administrator's phone; an empty one is not sent.
    ///   - gateway: nil is the stack's.
    @discardableResult
    func ask(
        _ operation: String, _ question: Question? = nil, method: HTTPMethod? = nil,
        token: String? = nil, at gateway: String? = nil
    ) async throws -> (status: Int, text: String) {
        let parts = operation.split(separator: " ").map(String.init)
        let question = question ?? good(operation)
        var request = HTTPClientRequest(
            url: (gateway ?? stack.gateway) + parts[1] + question.query)
        request.method = method ?? HTTPMethod(rawValue: parts[0])
        request.headers = question.headers
        let isSigned = parts[1].hasPrefix("/sync") || parts[1].hasPrefix("/admin")
        var bearer = token ?? ""
        if token == nil, isSigned { bearer = try await self.token() }
        if !bearer.isEmpty { request.headers.add(name: "authorization", value: "Bearer " + bearer) }
        if let body = question.body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(30))
        let isStream = response.headers["content-type"] == ["text/event-stream"]
        var body = ByteBuffer()
        for try await part in response.body {
            body.writeImmutableBuffer(part)
            // A stream has no end of its own.
            if isStream, String(buffer: body).contains("data:") { break }
            try #require(body.readableBytes <= Self.maximumBytes)
        }
        let received = APIDescription.Received(
            status: Int(response.status.code),
            headers: Array(response.headers),
            body: Array(body.readableBytesView))
        for problem in described.problems(of: received, to: parts[0], parts[1]) {
            Issue.record("\(problem): \(String(buffer: body).prefix(500))")
        }
        seen.answers.withLock {
            _ = $0.insert(APIDescription.Answer(parts[0], parts[1], received.status))
        }
        return (received.status, String(buffer: body))
    }

    /// Asks, and expects a status.
    @discardableResult
    func expect(
        _ status: Int, _ operation: String, _ question: Question? = nil,
        method: HTTPMethod? = nil, token: String? = nil, at gateway: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let answer = try await ask(
            operation, question, method: method, token: token, at: gateway)
        #expect(
            answer.status == status, "\(operation): \(answer.text.prefix(500))",
            sourceLocation: sourceLocation)
        return answer.text
    }

    /// The operations that have an answer with this status.
    func operations(with status: Int) -> [String] {
        described.answers.filter { $0.status == status }.map(\.operation).sorted()
    }
}

extension DescribedScene {
    /// Makes a scene for a test.
    static func run(_ body: @escaping @Sendable (DescribedScene) async throws -> Void) async throws
    {
        let issuer = try TestKey("ES256", kid: "k")
        let clientSecret = ClientSecret()
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Docs/openapi.yaml")
        let described = try APIDescription(yaml: try String(contentsOf: page, encoding: .utf8))
        try await withStack { directory in
            (try? plan(directory, issuer, clientSecret)) ?? demonstrationPlan(in: directory)
        } _: { stack in
            let log = URL(filePath: stack.authority).deletingLastPathComponent()
                .appending(path: "others.log").path
            _ = FileManager.default.createFile(atPath: log, contents: nil)
            let narrow = try await Gateway(
                stack, log, sockets: stack.sockets,
                ["OVERSYNC_RATE_REQUESTS": "1", "OVERSYNC_RATE_REJECTED_TOKENS": "1"])
            let lonely = try await Gateway(
                stack, log, sockets: stack.sockets + "-none", ["OVERSYNC_DEV_SIGN_IN": "true"])
            defer {
                for gateway in [narrow, lonely] { gateway.process.send(SIGTERM) }
            }
            try await stack.withClient { client in
                for (gateway, ready) in [(narrow, 200), (lonely, 503)] as [(Gateway, UInt)] {
                    try await eventually("a gateway answers") {
                        try #require(gateway.process.isRunning)
                        let request = HTTPClientRequest(url: gateway.address + "/ready")
                        let answer = try? await client.execute(request, timeout: .seconds(5))
                        return answer?.status.code == ready
                    }
                }
                try await body(
                    DescribedScene(
                        stack, client, described, others: (narrow.address, lonely.address), issuer,
                        clientSecret: clientSecret.text))
            }
        }
    }

    private struct Gateway {
        let process: RunningProgram
        let address: String

        init(
            _ stack: StackAddress, _ log: String, sockets: String, _ more: [String: String]
        ) async throws {
            let folder = URL(filePath: stack.authority).deletingLastPathComponent().path
            let certificates = try DevelopmentCertificates(in: folder)
            let port = try FreePort.find()
            var environment = ProcessInfo.processInfo.environment.filter {
                !$0.key.hasPrefix("OVERSYNC_")
            }
            environment.merge([
                "OVERSYNC_RUN": sockets, "OVERSYNC_ADMIN_PORT": "0",
                "OVERSYNC_GATEWAY_HOST": "127.0.0.1", "OVERSYNC_GATEWAY_PORT": "\(port)",
                "OVERSYNC_TLS_CERTIFICATE": certificates.certificate,
                "OVERSYNC_TLS_KEY": certificates.key,
                "OVERSYNC_JWT_HS256_SECRET_FILE": stack.hs256SecretFile,
            ]) { $1 }
            environment.merge(more) { $1 }
            address = "https://127.0.0.1:\(port)"
            process = try await RunningProgram(
                Program(Executables.find("oversync-gateway"), environment: environment),
                output: log)
        }
    }

    private static func plan(
        _ directory: StackDirectory, _ issuer: TestKey, _ secret: ClientSecret
    ) throws -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        try directory.create()
        let keys = directory.secrets + "/issuer.json"
        try TestKey.set([issuer]).write(toFile: keys, atomically: true, encoding: .utf8)
        let clients = directory.secrets + "/clients.yaml"
        try """
        clients:
          - {id: shop, secret_sha256: ["\(secret.hash)"], users: ["customer-*"], roles: [editor]}
        """.write(toFile: clients, atomically: true, encoding: .utf8)
        plan.environmentOf["auth"] = ["OVERSYNC_AUTH_CLIENTS_FILE": clients]
        plan.environmentOf["gateway"] = [
            "OVERSYNC_MAX_BODY_BYTES": "\(AnswersAsDescribed.largestBody)",
            "OVERSYNC_ISSUERS":
                "{issuer: a, name: a, audience: a, device_header: true, jwks_file: \(keys)}",
        ]
        return plan
    }
}
