import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization
import TestTokens
import Testing
import Tokens

/// What a running service takes up without a restart.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct ReloadTests {
    private static func client(_ certificate: String) throws -> HTTPClient {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(certificate)
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.httpVersion = .http1Only
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// The status of the answer; nil when there is none.
    private static func status(
        _ client: HTTPClient, _ url: String, token: String? = nil
    ) async throws -> Int? {
        var request = HTTPClientRequest(url: url)
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        guard let response = try? await client.execute(request, timeout: .seconds(30)) else {
            return nil
        }
        _ = try await response.body.collect(upTo: 1 << 20)
        return Int(response.status.code)
    }

    /// Runs a gateway, and gives its address.
    private static func withGateway(
        _ environment: [String: String], in folder: TestFolder,
        _ body: @Sendable (ServiceRun, _ url: String) async throws -> Void
    ) async throws {
        let gateway = try await ServiceRun(.gateway, environment, in: folder)
        try await gateway.logged("listening")
        let port = try #require(
            gateway.text.firstMatch(
                of: /"address":"\[IPv4\]127\.0\.0\.1(?:\/127\.0\.0\.1)?:(\d+)"/),
            "\(gateway.text)")
        try await body(gateway, "https://localhost:\(port.output.1)")
        try await gateway.stop()
    }

    @Test
    func `new connections get a new certificate, open ones go on, and a bad one changes nothing`()
        async throws
    {
        let folder = try TestFolder()
        let environment = try folder.environment()
        let former = folder.path + "/former.pem"
        try FileManager.default.copyItem(atPath: folder.path + "/server.pem", toPath: former)
        try await Self.withGateway(environment, in: folder) { gateway, url in
            let old = try Self.client(former)
            #expect(try await Self.status(old, url + "/health") == 200)
            let certificate = try TestCertificate(in: folder, "server").certificate
            try await gateway.logged("TLS certificate reloaded")
            let new = try Self.client(certificate)
            #expect(try await Self.status(new, url + "/health") == 200)
            // It trusts the former certificate alone: its connection is still the first one.
            #expect(try await Self.status(old, url + "/health") == 200)
            let late = try Self.client(former)
            #expect(try await Self.status(late, url + "/health") == nil)

            try folder.write("not a key", "server.key")
            try await gateway.logged("TLS certificate not reloaded; the old value stays")
            let other = try Self.client(certificate)
            #expect(try await Self.status(other, url + "/health") == 200)
            // A good pair again: the bad key was told once, although it was there for many looks.
            _ = try TestCertificate(in: folder, "server")
            try await gateway.logged("TLS certificate reloaded", times: 2)
            #expect(gateway.count(of: "not reloaded") == 1)
            for each in [old, new, late, other] { try await each.shutdown() }
        }
    }

    @Test func `SIGHUP reads files at once, and says why one cannot be used`() async throws {
        let folder = try TestFolder()
        try await Self.withGateway(try folder.environment(), in: folder) { gateway, _ in
            gateway.send(SIGHUP)
            try await gateway.logged("SIGHUP: files read again")
            #expect(gateway.count(of: "reloaded") == 0)
            _ = try TestCertificate(in: folder, "server", days: -1)
            gateway.send(SIGHUP)
            try await gateway.logged("SIGHUP: files read again", times: 2)
            let reasons = gateway.log.filter { $0.message.contains("which expired on") }
            #expect(reasons.map(\.setting) == ["OVERSYNC_TLS_CERTIFICATE"])
        }
    }

    @Test func `the HS256 secret is exchanged: tokens of the former one are refused`() async throws
    {
        let folder = try TestFolder()
        let secrets = ["the first secret of them all", "the second secret of them all"]
        let file = try folder.write(secrets[0] + "\n", "secret")
        let environment = try folder.environment(["OVERSYNC_JWT_HS256_SECRET_FILE": file])
        try await Self.withGateway(environment, in: folder) { gateway, url in
            let client = try Self.client(folder.path + "/server.pem")
            var tokens: [String] = []
            for secret in secrets { tokens.append(try await Self.token(secret)) }
            // Behind the check of the token nobody answers.
            let path = url + "/sync/download"
            #expect(try await Self.status(client, path, token: tokens[0]) == 503)
            #expect(try await Self.status(client, path, token: tokens[1]) == 401)
            try folder.write("short", "secret")
            try await gateway.logged("HS256 secret not reloaded; the old value stays")
            #expect(try await Self.status(client, path, token: tokens[0]) == 503)
            try folder.write(secrets[1], "secret")
            try await gateway.logged("HS256 secret reloaded")
            #expect(try await Self.status(client, path, token: tokens[0]) == 401)
            #expect(try await Self.status(client, path, token: tokens[1]) == 503)
            #expect(!gateway.text.contains("secret of them all"))
            try await client.shutdown()
        }
    }

    /// ```
    /// previous  one ────────────────────── two
    /// secret    one ──── two ────────────────
    /// tokens    one ──── one ── both ── two ─
    /// ```
    @Test func `a secret is exchanged while tokens of both are used, without one refusal`()
        async throws
    {
        let folder = try TestFolder()
        let secrets = ["the first secret, of more than 32 bytes", "the second secret, of as many"]
        let file = try folder.write(secrets[0], "secret")
        let previous = try folder.write(secrets[0], "previous")
        let environment = try folder.environment([
            "OVERSYNC_JWT_HS256_SECRET_FILE": file,
            "OVERSYNC_JWT_HS256_SECRET_PREVIOUS_FILE": previous,
        ])
        try await Self.withGateway(environment, in: folder) { gateway, url in
            let client = try Self.client(folder.path + "/server.pem")
            let tokens = [try await Self.token(secrets[0]), try await Self.token(secrets[1])]
            let path = url + "/sync/download"
            let refusals = Mutex(0)
            let old = Task {
                while !Task.isCancelled {
                    let status = try await Self.status(client, path, token: tokens[0])
                    if status == 401 { refusals.withLock { $0 += 1 } }
                }
            }
            try folder.write(secrets[1], "secret")
            try await gateway.logged("HS256 secret reloaded")
            for token in tokens {
                #expect(try await Self.status(client, path, token: token) == 503)
            }
            old.cancel()
            try await old.value
            #expect(refusals.withLock { $0 } == 0)
            try folder.write(secrets[1], "previous")
            try await gateway.logged("HS256 secret reloaded", times: 2)
            #expect(try await Self.status(client, path, token: tokens[0]) == 401)
            #expect(try await Self.status(client, path, token: tokens[1]) == 503)
            try await client.shutdown()
        }
    }

    @Test func `keys of an issuer in a file are taken up, and a bad file changes nothing`()
        async throws
    {
        let folder = try TestFolder()
        let (old, new) = (try TestKey("ES256", kid: "old"), try TestKey("EdDSA", kid: "new"))
        let file = try folder.write(try TestKey.set([old]), "jwks.json")
        let environment = try folder.environment([
            "OVERSYNC_ISSUERS": "{issuer: a, name: acme, audience: a, jwks_file: \(file)}"
        ])
        let claims: [String: any Sendable] = [
            "iss": "a", "aud": "a", "sub": "ann", "did": "phone",
            "exp": Int(Date().timeIntervalSince1970) + 600,
        ]
        let tokens = [try old.token(claims), try new.token(claims)]
        try await Self.withGateway(environment, in: folder) { gateway, url in
            let client = try Self.client(folder.path + "/server.pem")
            // Behind the check of the token nobody answers.
            let path = url + "/sync/download"
            #expect(try await Self.status(client, path, token: tokens[0]) == 503)
            #expect(try await Self.status(client, path, token: tokens[1]) == 401)
            try folder.write("not a key set", "jwks.json")
            try await gateway.logged("keys of acme not reloaded; the old value stays")
            #expect(try await Self.status(client, path, token: tokens[0]) == 503)
            try folder.write(try TestKey.set([new]), "jwks.json")
            try await gateway.logged("keys of acme reloaded")
            #expect(try await Self.status(client, path, token: tokens[1]) == 503)
            #expect(try await Self.status(client, path, token: tokens[0]) == 401)
            try await client.shutdown()
        }
    }

    private static func token(_ secret: String) async throws -> String {
        try await TokenMint(hs256: secret).sign(
            DeviceClaims(
                user: "ann", device: "phone", issuer: nil, audience: nil,
                now: Int(Date().timeIntervalSince1970), lifetime: 600))
    }

    @Test(arguments: ServiceName.allCases)
    func `the log level follows its file`(service: ServiceName) async throws {
        let folder = try TestFolder()
        let file = try folder.write("error", "level")
        let environment = try folder.environment([
            "OVERSYNC_LOG_LEVEL_FILE": file, "OVERSYNC_ADMIN_PORT": "\(try FreePort.find())",
        ])
        let run = try await ServiceRun(service, environment, in: folder)
        // It logs nothing at its start: that it runs shows in its answer.
        try await eventually("an answer: \(run.text)") {
            let health = try await ServiceRun(service, environment, ["--health"], in: folder)
            _ = try await health.exitCode()
            return health.text.contains("status")
        }
        try folder.write("info", "level")
        try await run.logged("log level reloaded")
        try folder.write("loud", "level")
        try await run.logged("log level not reloaded; the old value stays")
        #expect(run.log.filter { $0.level == "info" || $0.level == "notice" }.count == 1)
        try await run.stop()
        #expect(run.log.last?.message == "stopped")
    }
}
