import Foundation
import NIOHTTP1
import Protos
import RPC
import ServiceKit
import Synchronization
import Telemetry
import TestTokens
import Testing

@testable import Gateway

/// A gateway that takes tokens of other issuers.
@Suite(.timeLimit(.minutes(2)))
struct IssuerTests {
    /// An Upload service that records who asks, and binds devices as instructed.
    private final class Upload: Sendable {
        private struct State {
            var caller: CallerIdentity?
            var claims: [CallerIdentity] = []
        }

        private let state = Mutex(State())

        var caller: CallerIdentity? { state.withLock { $0.caller } }
        var claims: [CallerIdentity] { state.withLock { $0.claims } }

        var router: RPCRouter {
            var router = RPCRouter()
            router.on(UploadRPC.readCapabilities) { [self] _, _, context in
                state.withLock { $0.caller = context.caller }
                return RPCReply(ReadCapabilitiesReply())
            }
            router.on(UploadRPC.claimDevice) { [self] _, _, context in
                let caller = try context.requiredCaller()
                state.withLock { $0.claims.append(caller) }
                if caller.device.hasPrefix("taken") { throw RPCFailure.deviceTaken }
                return RPCReply(ClaimDeviceReply())
            }
            return router
        }
    }

    /// Requests that never repeat a token: each is verified.
    private final class Load: Sendable {
        private struct State {
            var answers: [Int] = []
            var isOver = false
            var tokens = 0
        }

        private let gateway: RunningGateway
        private let state = Mutex(State())

        init(_ gateway: RunningGateway) { self.gateway = gateway }

        var answers: [Int] { state.withLock { $0.answers } }

        func end() { state.withLock { $0.isOver = true } }

        func run(_ key: TestKey) async throws {
            while let number = next() {
                let more: [String: any Sendable] = ["did": "phone", "jti": number]
                let token = try key.token(IssuerTests.claims("acme", more))
                let status = try await IssuerTests.ask(gateway, token).status
                state.withLock { $0.answers.append(status) }
            }
        }

        private func next() -> Int? {
            state.withLock { state in
                state.tokens += 1
                return state.isOver ? nil : state.tokens
            }
        }
    }

    private static func claims(
        _ issuer: String, _ more: [String: any Sendable] = [:]
    ) -> [String: any Sendable] {
        let now = Int(Date().timeIntervalSince1970)
        let usual: [String: any Sendable] = [
            "iss": issuer, "aud": "sync", "sub": "ann", "iat": now, "exp": now + 600,
        ]
        return usual.merging(more) { $1 }
    }

    private static func ask(
        _ gateway: RunningGateway, _ token: String, devices: [String] = []
    ) async throws -> RunningGateway.Answer {
        var headers: HTTPHeaders = ["Authorization": "Bearer " + token]
        for device in devices { headers.add(name: "Oversync-Device", value: device) }
        return try await gateway.send(.GET, "/sync/capabilities", headers: headers)
    }

    private static func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/oversync-issuers-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    @Test func `tokens of two issuers get in as their users, beside the installation's own`()
        async throws
    {
        try await Self.withFolder { folder in
            let certificate = try TestCertificate(in: folder)
            let (far, near) = (try TestKey("RS256", kid: "far"), try TestKey("EdDSA", kid: "near"))
            try TestKey.set([near]).write(
                toFile: folder + "/jwks.json", atomically: true, encoding: .utf8)
            let set = try TestKey.set([far])
            try await IssuerServer.with(certificate, .document(set)) { server in
                let yaml = """
                    - {name: far, issuer: far, audience: sync, user_prefix: "far:",
                       roles_claim: roles,
                       jwks_url: "https://localhost:\(server.port)/jwks",
                       ca_file: \(certificate.certificate)}
                    - {name: near, issuer: near, audience: sync, user_prefix: "near:",
                       jwks_file: \(folder)/jwks.json}
                    """
                let upload = Upload()
                try await withGateway(
                    ["OVERSYNC_ISSUERS": yaml], upstreams: ["upload": upload.router]
                ) { gateway in
                    let more: [String: any Sendable] = ["did": "phone", "roles": ["editor"]]
                    let first = try far.token(Self.claims("far", more))
                    #expect(try await Self.ask(gateway, first).status == 200)
                    #expect(
                        upload.caller
                            == CallerIdentity(
                                user: "far:ann", device: "phone", roles: ["editor"], issuer: "far"))
                    // No header speaks for a token that names its device.
                    let second = try near.token(Self.claims("near", more))
                    #expect(try await Self.ask(gateway, second, devices: ["tablet"]).status == 200)
                    #expect(
                        upload.caller
                            == CallerIdentity(user: "near:ann", device: "phone", issuer: "near"))
                    #expect(upload.claims.isEmpty)
                    #expect(try await gateway.sendSigned(.GET, "/sync/capabilities").status == 200)
                    let forged = try near.token(Self.claims("far", more))
                    #expect(try await Self.ask(gateway, forged).status == 401)
                    let metrics = gateway.metrics.rendered()
                    for name in ["far", "near"] {
                        #expect(
                            metrics.contains(
                                "oversync_gateway_jwks_age_seconds{issuer=\"\(name)\"}"))
                        #expect(
                            metrics.contains(
                                "oversync_gateway_jwks_refresh_seconds{issuer=\"\(name)\"} 300"))
                    }
                    #expect(
                        gateway.counted(
                            "oversync_gateway_rejected_tokens_total"
                                + "{cause=\"unknown_key\",issuer=\"far\"}"
                        )
                            == 1)
                }
            }
        }
    }

    /// ```
    /// keys      old ──────── old, new ──────────── new, newest
    /// tokens    old ── old ──── old and new ───────── newest, then old
    /// ```
    @Test func `keys are exchanged while requests run, without one refusal`() async throws {
        let (old, new) = (try TestKey("ES256", kid: "old"), try TestKey("ES256", kid: "new"))
        let newest = try TestKey("RS256", kid: "newest")
        let first = try TestKey.set([old])
        try await IssuerServer.with(nil, .document(first)) { server in
            let yaml = """
                {name: acme, issuer: acme, audience: sync,
                 jwks_url: "http://127.0.0.1:\(server.port)/jwks"}
                """
            try await withGateway(
                ["OVERSYNC_ISSUERS": yaml], upstreams: ["upload": Upload().router]
            ) { gateway in
                let load = Load(gateway)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await load.run(old) }
                    try await eventually { load.answers.contains(200) }
                    // It signs with the new key from the moment on that it publishes it.
                    server.answer = .document(try TestKey.set([old, new]))
                    let before = load.answers.count
                    group.addTask { try await load.run(new) }
                    try await eventually {
                        server.requests >= 2 && load.answers.count > before + 50
                    }
                    load.end()
                    try await group.waitForAll()
                }
                #expect(Set(load.answers) == [200])
                server.answer = .document(try TestKey.set([new, newest]))
                let more: [String: any Sendable] = ["did": "phone"]
                let token = try newest.token(Self.claims("acme", more))
                #expect(try await Self.ask(gateway, token).status == 200)
                let withdrawn = try old.token(Self.claims("acme", more))
                #expect(try await Self.ask(gateway, withdrawn).status == 401)
            }
        }
    }

    @Test func `an issuer that does not answer refuses nobody whose key is known`() async throws {
        let (key, other) = (try TestKey("ES256", kid: "k"), try TestKey("ES256", kid: "other"))
        let first = try TestKey.set([key])
        try await IssuerServer.with(nil, .document(first)) { server in
            let yaml = """
                {name: acme, issuer: acme, audience: sync,
                 jwks_url: "http://127.0.0.1:\(server.port)/jwks"}
                """
            try await withGateway(
                ["OVERSYNC_ISSUERS": yaml], upstreams: ["upload": Upload().router]
            ) { gateway in
                let more: [String: any Sendable] = ["did": "phone"]
                let token = try key.token(Self.claims("acme", more))
                #expect(try await Self.ask(gateway, token).status == 200)
                server.answer = .status(500)
                let unknown = try other.token(Self.claims("acme", more))
                let answer = try await Self.ask(gateway, unknown)
                #expect(answer.status == 503 && answer.headers.contains(name: "Retry-After"))
                let fresh = try key.token(Self.claims("acme", ["did": "tablet"]))
                #expect(try await Self.ask(gateway, fresh).status == 200)
                #expect(server.requests == 2)
            }
        }
    }

    @Test func `a device that a header names is bound once, and refused where it is another's`()
        async throws
    {
        try await Self.withFolder { folder in
            let key = try TestKey("ES256", kid: "k")
            try TestKey.set([key]).write(
                toFile: folder + "/jwks.json", atomically: true, encoding: .utf8)
            let yaml = """
                {name: acme, issuer: acme, audience: sync, device_header: true,
                 jwks_file: \(folder)/jwks.json}
                """
            let upload = Upload()
            try await withGateway(
                ["OVERSYNC_ISSUERS": yaml], upstreams: ["upload": upload.router]
            ) { gateway in
                // A device in the token says nothing.
                let token = try key.token(Self.claims("acme", ["did": "other"]))
                for devices in [
                    [], [""], ["a", "b"], ["a b"], ["ü"], [String(repeating: "d", count: 257)],
                ] {
                    let answer = try await Self.ask(gateway, token, devices: devices)
                    #expect(answer.status == 400 && answer.text("error") == "invalid_request")
                }
                #expect(upload.claims.isEmpty && upload.caller == nil)
                for _ in 0..<3 {
                    #expect(try await Self.ask(gateway, token, devices: ["phone"]).status == 200)
                }
                let ann = CallerIdentity(user: "ann", device: "phone", issuer: "acme")
                #expect(upload.claims == [ann] && upload.caller == ann)
                for _ in 0..<2 {
                    let answer = try await Self.ask(gateway, token, devices: ["taken-1"])
                    #expect(answer.status == 403 && answer.text("error") == "device_taken")
                }
                #expect(upload.claims.count == 3 && upload.caller == ann)
                // Another user's token, and the same header.
                let bob = try key.token(Self.claims("acme", ["sub": "bob"]))
                #expect(try await Self.ask(gateway, bob, devices: ["phone"]).status == 200)
                #expect(
                    upload.claims.last
                        == CallerIdentity(user: "bob", device: "phone", issuer: "acme"))
            }
            // Without Upload nobody can say whose it is.
            try await withGateway(["OVERSYNC_ISSUERS": yaml]) { gateway in
                let token = try key.token(Self.claims("acme"))
                #expect(try await Self.ask(gateway, token, devices: ["phone"]).status == 503)
            }
            // Nor with one of a version that knows nothing of it.
            try await withGateway(
                ["OVERSYNC_ISSUERS": yaml], upstreams: ["upload": RPCRouter()]
            ) { gateway in
                let token = try key.token(Self.claims("acme"))
                #expect(try await Self.ask(gateway, token, devices: ["phone"]).status == 503)
            }
        }
    }

    @Test func `two secrets are taken at once`() async throws {
        let secrets = ["the first secret, of more than 32 bytes", "the second secret, of as many"]
        try await withGateway([
            "OVERSYNC_JWT_HS256_SECRET": secrets[0],
            "OVERSYNC_JWT_HS256_SECRET_PREVIOUS": secrets[1],
        ]) { gateway in
            for (secret, status) in [(secrets[0], 200), (secrets[1], 200), ("a third one", 401)] {
                let token = try hmacToken(
                    Self.claims("my-back-end", ["did": "phone"]), secret: Data(secret.utf8))
                let answer = try await gateway.send(
                    .GET, "/sync/schema-version", headers: ["Authorization": "Bearer " + token])
                #expect(answer.status == status)
            }
        }
    }
}
