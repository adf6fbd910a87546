import AsyncHTTPClient
import Foundation
import HTTPTypes
import NIOCore
import NIOHTTP1
import Protos
import RPC
import ServiceKit
import SwiftProtobuf
import TestTokens
import Testing
import Yams

@testable import Gateway

/// The protocol's description, held against the gateway: every route and every documented status.
@Suite(.timeLimit(.minutes(2)))
struct OpenAPITests {
    /// A documented answer.
    struct Documented: Hashable, Comparable, CustomStringConvertible {
        let method: String
        let path: String
        let status: Int

        var description: String { "\(method) \(path) \(status)" }
        static func < (a: Documented, b: Documented) -> Bool { a.description < b.description }
    }

    private static let file = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Docs/openapi.yaml").standardizedFileURL

    private func documented() throws -> [Documented] {
        let text = try String(contentsOf: Self.file, encoding: .utf8)
        let paths = try #require(
            (try Yams.load(yaml: text) as? [String: Any])?["paths"] as? [String: [String: Any]])
        return paths.flatMap { path, operations in
            operations.flatMap { method, operation in
                let responses = (operation as? [String: Any])?["responses"] as? [String: Any] ?? [:]
                return responses.keys.map {
                    Documented(method: method.uppercased(), path: path, status: Int($0) ?? 0)
                }
            }
        }.sorted()
    }

    /// Services that answer well, or as the request's id asks.
    private static var upstreams: [String: RPCRouter] {
        @Sendable func act(_ context: CallContext) throws {
            guard let status = RPCStatus(rawValue: context.requestID) else { return }
            throw RPCFailure(status, code: "provoked", message: "as asked")
        }
        var upload = RPCRouter()
        upload.on(UploadRPC.pushChanges) { _, _, context in
            try act(context)
            return RPCReply(PushChangesReply(), body: ByteBuffer(string: "{}"))
        }
        upload.on(UploadRPC.claimDevice) { _, _, context in
            try act(context)
            return RPCReply(ClaimDeviceReply())
        }
        upload.on(UploadRPC.leaseKeys) { _, _, context in
            try act(context)
            return RPCReply(LeaseKeysReply(), body: ByteBuffer(string: "{}"))
        }
        upload.on(UploadRPC.readCapabilities) { _, _, context in
            try act(context)
            return RPCReply(ReadCapabilitiesReply())
        }
        upload.on(UploadRPC.listFailures) { _, _, context in
            try act(context)
            return RPCReply(ListFailuresReply())
        }
        upload.on(UploadRPC.retryFailure) { _, _, context in
            try act(context)
            return RPCReply(RetryFailureReply(), body: ByteBuffer(string: "{}"))
        }
        upload.on(UploadRPC.listDevices) { _, _, context in
            try act(context)
            return RPCReply(ListDevicesReply())
        }
        upload.on(UploadRPC.setDeviceAccess) { _, _, context in
            try act(context)
            return RPCReply(SetDeviceAccessReply())
        }
        upload.on(UploadRPC.showUser) { _, _, context in
            try act(context)
            return RPCReply(ShowUserReply())
        }
        upload.on(UploadRPC.inspect) { _, _, context in
            try act(context)
            return RPCReply(InspectReply(), body: ByteBuffer(string: "{}"))
        }
        var download = RPCRouter()
        download.on(DownloadRPC.pullChanges) { _, _, context in
            try act(context)
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "{}"))
        }
        download.on(DownloadRPC.readDigest) { _, _, context in
            try act(context)
            return RPCReply(ReadDigestReply(), body: ByteBuffer(string: "{}"))
        }
        download.on(DownloadRPC.readRows) { _, _, context in
            try act(context)
            return RPCReply(PullChangesReply(), body: ByteBuffer(string: "{}"))
        }
        download.on(DownloadRPC.readBootstrap) { _, _, context in
            try act(context)
            return RPCReply(ReadBootstrapReply())
        }
        download.onStream(DownloadRPC.watchHead) { _, _, context, parts in
            try act(context)
            try await parts.write(WatchHeadReply())
            throw RPCFailure.deviceRevoked  // Ends the stream, so that the test need not.
        }
        var auth = RPCRouter()
        auth.on(AuthRPC.getKeys) { _, _, context in
            RPCReply(.with { ($0.jwks, $0.maxAgeSeconds) = (#"{"keys":[]}"#, 300) })
        }
        auth.on(AuthRPC.developmentSignIn) { _, _, context in
            try act(context)
            return RPCReply(IssueTokenReply())
        }
        auth.on(AuthRPC.issueClientToken) { _, _, context in
            try act(context)
            return RPCReply(IssueTokenReply())
        }
        auth.on(AuthRPC.listKeys) { _, _, context in
            try act(context)
            return RPCReply(ListKeysReply())
        }
        return ["upload": upload, "download": download, "auth": auth]
    }

    @Test func `every route is described, and nothing else`() async throws {
        let described = Set(try documented().map { "\($0.method) \($0.path)" })
        try await withGateway(["OVERSYNC_DEV_SIGN_IN": "true"], upstreams: Self.upstreams) {
            gateway in
            for operation in described {
                let parts = operation.split(separator: " ").map(String.init)
                let answer = try await gateway.send(HTTPMethod(rawValue: parts[0]), parts[1])
                #expect(answer.status != 404 && answer.status != 405, "\(operation)")
            }
            let served = Set(gateway.routes.map { "\($0.method.rawValue) \($0.path)" })
            #expect(served == described)
            let page = try await gateway.send(.GET, "/openapi.yaml")
            #expect(page.body == (try String(contentsOf: Self.file, encoding: .utf8)))
            #expect(page.headers["Content-Type"] == ["application/yaml"])
        }
    }

    @Test func `every documented status is one that comes`() async throws {
        let documented = try documented()
        #expect(documented.count > 50)
        let key = try TestKey("ES256", kid: "k")
        let keys = NSTemporaryDirectory() + "openapi-keys-\(UUID().uuidString).json"
        try TestKey.set([key]).write(toFile: keys, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: keys) }
        let now = Int(Date().timeIntervalSince1970)
        let token = try key.token(["iss": "a", "aud": "a", "sub": "u", "exp": now + 600])
        let open = [
            "OVERSYNC_DEV_SIGN_IN": "true", "OVERSYNC_MAX_BODY_BYTES": "5000",
            "OVERSYNC_ISSUERS":
                "{issuer: a, name: a, audience: a, device_header: true, jwks_file: \(keys)}",
        ]
        try await withGateway(open, upstreams: Self.upstreams) { gateway in
            // Until every replica has said how it is.
            try await eventually { try await gateway.send(.GET, "/ready").status == 200 }
            for answer in documented where !Self.needsAnotherGateway(answer) {
                let status = try await Self.provoke(answer, gateway, tokenWithoutDevice: token)
                #expect(status == answer.status, "\(answer)")
            }
        }
        let narrow = ["OVERSYNC_RATE_REQUESTS": "1", "OVERSYNC_RATE_REJECTED_TOKENS": "1"]
        try await withGateway(narrow, upstreams: Self.upstreams) { gateway in
            // At once, since each refusal is held back for a while.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for answer in documented where answer.status == 429 {
                    group.addTask {
                        let isRefused = try await Self.refusesTooMany(answer, gateway)
                        #expect(isRefused, "\(answer)")
                    }
                }
                try await group.waitForAll()
            }
        }
        try await withGateway { gateway in
            for answer in documented where Self.needsAnotherGateway(answer) && answer.status != 429
            {
                let status = try await Self.good(answer, gateway).status
                #expect(status == answer.status, "\(answer)")
            }
        }
    }

    /// Whether of eight requests at once some are answered with 429.
    private static func refusesTooMany(
        _ answer: Documented, _ gateway: RunningGateway
    ) async throws -> Bool {
        // There are no users there, and wrong credentials are what counts.
        let isClients = answer.path == "/auth/token"
        let headers: HTTPHeaders =
            isClients ? ["X-Request-Id": RPCStatus.unauthenticated.rawValue] : [:]
        return try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 1...8 {
                group.addTask {
                    try await good(answer, gateway, headers: headers, user: answer.path).status
                }
            }
            return try await group.reduce(false) { $0 || $1 == 429 }
        }
    }

    /// Statuses that depend on how the gateway is set up, or on what runs behind it.
    private static func needsAnotherGateway(_ answer: Documented) -> Bool {
        switch (answer.path, answer.status) {
        case (_, 429), ("/ready", 503), ("/.well-known/jwks.json", 503): true
        case ("/dev/sign-in", 404), ("/dummy-signin", 404): true
        default: false
        }
    }

    /// A request that is in order.
    private static func good(
        _ operation: Documented, _ gateway: RunningGateway, headers: HTTPHeaders = [:],
        query: String = "", body: ByteBuffer? = nil, user: String = "user-1",
        roles: [String] = ["admin"]
    ) async throws -> RunningGateway.Answer {
        var headers = headers
        let isClients = operation.path == "/auth/token"
        if isClients { headers.add(name: "Content-Type", value: Form.contentType) }
        if !isClients, headers["Authorization"].isEmpty {
            let token = try await RunningGateway.token(user: user, roles: roles)
            headers.add(name: "Authorization", value: "Bearer \(token)")
        }
        let usualQuery = [
            "/admin/materialize-failures/retry": "?id=1", "/admin/users": "?user=u",
            "/admin/devices/explain": "?user=u&device=d",
            "/admin/rows": "?user=u&schema=s&table=t&pk=k",
        ]
        let query = query.isEmpty ? usualQuery[operation.path] ?? "" : query
        var usual =
            operation.path.contains("sign")
            ? #"{"user":"u"}"#
            : operation.path.contains("devices") ? #"{"user_id":"u","source_id":"d"}"# : "{}"
        if isClients {
            usual = "grant_type=client_credentials&user=u&device=d"
            let isSent = !headers["Authorization"].isEmpty
            if !isSent { usual += "&client_id=c&client_secret=s" }
        }
        return try await gateway.send(
            HTTPMethod(rawValue: operation.method), operation.path + query, headers: headers,
            body: operation.method == "POST" ? .bytes(body ?? ByteBuffer(string: usual)) : nil)
    }

    /// What a request by a token that names no device is answered.
    private static func answer(
        _ documented: Documented, _ gateway: RunningGateway, token: String, device: String?,
        with status: RPCStatus = .permissionDenied
    ) async throws -> Int {
        var headers: HTTPHeaders = ["Authorization": "Bearer " + token]
        if let device {
            headers.add(name: "Oversync-Device", value: device)
            headers.add(name: "X-Request-Id", value: status.rawValue)
        }
        return try await good(documented, gateway, headers: headers).status
    }

    private static func provoke(
        _ answer: Documented, _ gateway: RunningGateway, tokenWithoutDevice token: String
    ) async throws -> Int {
        func asked(_ status: RPCStatus) async throws -> Int {
            // Upload is asked when an administrator begins to look at the last requests.
            let user = answer.path == "/admin/requests" ? status.rawValue : "user-1"
            return try await good(
                answer, gateway, headers: ["X-Request-Id": status.rawValue], user: user
            ).status
        }
        switch answer.status {
        case 400:
            return switch answer.path {
            case "/sync/upload", "/sync/rows", "/sync/keys":
                try await asked(.invalidArgument)
            case "/sync/digest": try await good(answer, gateway, query: "?buckets=x").status
            case "/sync/download", "/sync/watch":
                try await good(answer, gateway, query: "?after=x").status
            case "/sync/schema-version":
                try await Self.answer(answer, gateway, token: token, device: nil)
            case "/admin/materialize-failures":
                try await good(answer, gateway, query: "?schema=%00").status
            case "/sync/bootstrap":
                try await good(answer, gateway, headers: ["Oversync-History": "x"]).status
            case "/sync/capabilities":
                try await good(answer, gateway, headers: ["Oversync-Tables": "x"]).status
            default:
                try await good(
                    answer, gateway, query: "?id=x&limit=x", body: ByteBuffer(string: "{")
                ).status
            }
        case 401:
            return try await good(answer, gateway, headers: ["Authorization": "Bearer x"]).status
        case 403 where answer.path.hasPrefix("/admin"):
            return try await good(answer, gateway, roles: ["editor"]).status
        case 403 where answer.path == "/sync/schema-version":
            return try await Self.answer(answer, gateway, token: token, device: "phone")
        case 403: return try await asked(.permissionDenied)
        case 404: return try await asked(.notFound)
        case 405:
            let wrong = Documented(method: "PUT", path: answer.path, status: answer.status)
            let refused = try await good(wrong, gateway)
            #expect(refused.headers["Allow"].contains(answer.method), "\(answer)")
            return refused.status
        case 409: return try await asked(.conflict)
        case 410: return try await asked(.gone)
        // Without the id in the query a retry reads its body.
        case 413:
            return try await good(
                answer, gateway, query: "?", body: ByteBuffer(repeating: 32, count: 5001)
            ).status
        case 415:
            return try await good(
                answer, gateway, headers: ["Content-Encoding": "br"], query: "?"
            ).status
        case 500: return try await asked(.internal)
        case 503 where answer.path == "/sync/schema-version":
            return try await Self.answer(
                answer, gateway, token: token, device: "tablet", with: .unavailable)
        case 503: return try await asked(.unavailable)
        default: return try await good(answer, gateway).status
        }
    }
}
