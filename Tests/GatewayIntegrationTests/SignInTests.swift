import AsyncHTTPClient
import Crypto
import Foundation
import JWTKit
import NIOCore
import NIOHTTP1
import Protos
import RPC
import SwiftProtobuf
import Synchronization
import Testing
import Tokens

@testable import Gateway

/// Who gets in, with keys that the Auth service publishes.
@Suite(.timeLimit(.minutes(1)))
struct SignInTests {
    /// A stand-in for the Auth service, with keys that a test changes.
    final class Keys: Sendable {
        private struct State {
            var keys: [String: P256.Signing.PrivateKey] = [:]
            var calls = 0
        }

        private let state = Mutex(State())

        init(_ kids: String...) { publish(kids) }

        /// Publishes these keys and no others. New names get new keys.
        func publish(_ kids: [String]) {
            state.withLock { state in
                state.keys = Dictionary(
                    uniqueKeysWithValues: kids.map {
                        ($0, state.keys[$0] ?? P256.Signing.PrivateKey())
                    })
            }
        }

        var calls: Int { state.withLock { $0.calls } }

        func token(_ kid: String, lifetime: Int = 600) async throws -> String {
            let key = try #require(state.withLock { $0.keys[kid] })
            let now = Int(Date().timeIntervalSince1970)
            return try await TokenMint(es256: try ES256PrivateKey(backing: key), kid: kid).sign(
                DeviceClaims(
                    user: "u", device: "d", issuer: nil, audience: nil, now: now, lifetime: lifetime
                ))
        }

        private var jwks: String {
            state.withLock { state in
                state.calls += 1
                let keys = state.keys.sorted { $0.key < $1.key }.map { kid, key in
                    let point = key.publicKey.rawRepresentation
                    let (x, y) = (
                        Self.base64URL(point.prefix(32)), Self.base64URL(point.suffix(32))
                    )
                    return
                        #"{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"\#(kid)","x":"\#(x)","y":"\#(y)"}"#
                }
                return #"{"keys":[\#(keys.joined(separator: ","))]}"#
            }
        }

        private static func base64URL(_ data: Data) -> String {
            data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                .replacing("=", with: "")
        }

        var router: RPCRouter {
            var router = RPCRouter()
            router.on(AuthRPC.getKeys) { [self] _, _, _ in
                RPCReply(
                    .with {
                        $0.jwks = jwks
                        $0.maxAgeSeconds = 300
                    })
            }
            router.on(AuthRPC.developmentSignIn) { request, _, _ in
                RPCReply(
                    .with {
                        $0.token = "token-of-\(request.user)"
                        $0.expiresIn = 300
                    })
            }
            return router
        }
    }

    private func status(_ gateway: RunningGateway, _ token: String) async throws -> Int {
        try await gateway.send(
            .GET, "/sync/schema-version", headers: ["Authorization": "Bearer \(token)"]
        ).status
    }

    @Test func `no token, no entry, in JSON and with the scheme to use`() async throws {
        try await withGateway { gateway in
            for (method, path) in [
                (HTTPMethod.POST, "/sync/upload"), (.GET, "/sync/download"),
                (.GET, "/sync/schema-version"),
            ] {
                let answer = try await gateway.send(method, path)
                #expect(answer.status == 401)
                #expect(answer.headers["WWW-Authenticate"] == ["Bearer"])
                #expect(answer.text("error") == "authentication_failed")
                #expect(answer.text("message") == "Authorization header required")
            }
        }
    }

    @Test func `a published key opens, another of the same name does not`() async throws {
        let keys = Keys("k1")
        let impostor = Keys("k1", "k2")
        try await withGateway(upstreams: ["auth": keys.router]) { gateway in
            #expect(try await status(gateway, keys.token("k1")) == 200)
            #expect(try await status(gateway, impostor.token("k1")) == 401)
            #expect(try await status(gateway, impostor.token("k2")) == 401)
            let published = try await gateway.send(.GET, "/.well-known/jwks.json")
            #expect(published.status == 200)
            #expect(published.body.contains(#""kid":"k1""#))
        }
    }

    /// S19: the classic confusion, a public key used as a shared secret.
    @Test func `S19: a token signed with the public key as a secret is refused`() async throws {
        let keys = Keys("k1")
        try await withGateway(upstreams: ["auth": keys.router]) { gateway in
            let published = try await gateway.send(.GET, "/.well-known/jwks.json").body
            let now = Int(Date().timeIntervalSince1970)
            let forged = try await TokenMint(hs256: published).sign(
                DeviceClaims(
                    user: "u", device: "d", issuer: nil, audience: nil, now: now, lifetime: 60))
            #expect(try await status(gateway, forged) == 401)
        }
    }

    @Test func `keys are rotated with overlap, and a withdrawn key stops opening`() async throws {
        let keys = Keys("k1")
        try await withGateway(upstreams: ["auth": keys.router]) { gateway in
            let old = try await keys.token("k1")
            #expect(try await status(gateway, old) == 200)
            keys.publish(["k1", "k2"])
            let new = try await keys.token("k2")
            // Asked for the first name it does not know, at most once in two seconds.
            try await eventually { try await status(gateway, new) == 200 }
            #expect(try await status(gateway, old) == 200)
            keys.publish(["k2", "k3"])
            let newest = try await keys.token("k3")
            try await eventually { try await status(gateway, newest) == 200 }
            // It had been verified and was remembered: the change of keys made it forgotten.
            #expect(try await status(gateway, old) == 401)
            #expect(try await status(gateway, new) == 200)
        }
    }

    @Test func `invented key names cost the Auth service next to nothing`() async throws {
        let keys = Keys("k1")
        let impostor = Keys("x")
        try await withGateway(upstreams: ["auth": keys.router]) { gateway in
            #expect(try await status(gateway, keys.token("k1")) == 200)
            let started = ContinuousClock.now
            let before = keys.calls
            let token = try await impostor.token("x")
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<100 { group.addTask { try await status(gateway, token) } }
                for try await status in group { #expect(status == 401) }
            }
            let intervals = Int((ContinuousClock.now - started) / .seconds(2))
            #expect(keys.calls - before <= 1 + intervals)
        }
    }

    @Test func `without the Auth service a good token is not called bad`() async throws {
        let keys = Keys("k1")
        try await withGateway { gateway in
            let answer = try await gateway.send(
                .GET, "/sync/schema-version",
                headers: ["Authorization": "Bearer \(try await keys.token("k1"))"])
            #expect(answer.status == 503)
            #expect(answer.headers.first(name: "Retry-After") != nil)
            // The shared secret needs nobody.
            #expect(try await gateway.sendSigned(.GET, "/sync/schema-version").status == 200)
        }
    }

    @Test(arguments: ["/dev/sign-in", "/dummy-signin"])
    func `development sign-in exists only when it is switched on`(path: String) async throws {
        let body = #"{"user":"ann","password":"ignored","device":"phone"}"#
        try await withGateway(upstreams: ["auth": Keys().router]) { gateway in
            let off = try await gateway.send(.POST, path, body: .bytes(ByteBuffer(string: body)))
            #expect(off.status == 404)
        }
        try await withGateway(
            ["OVERSYNC_DEV_SIGN_IN": "true"], upstreams: ["auth": Keys().router]
        ) { gateway in
            let on = try await gateway.send(.POST, path, body: .bytes(ByteBuffer(string: body)))
            #expect(on.status == 200)
            #expect(on.text("token") == "token-of-ann")
            #expect(on.text("user") == "ann")
            #expect(on.text("device") == "phone")
            #expect(on.body.contains(#""expires_in":300"#))
            for (text, message) in [
                ("{", "invalid JSON"), ("[]", "invalid JSON"), ("{}", "user required"),
            ] {
                let bad = try await gateway.send(
                    .POST, path, body: .bytes(ByteBuffer(string: text)))
                #expect(bad.status == 400)
                #expect(bad.text("message") == message)
            }
        }
    }
}
