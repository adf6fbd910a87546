import Crypto
import Foundation
import HTTPTypes
import JWTKit
import Logging
import RPC
import Testing

@testable import Gateway

/// Which tokens get in, and as whom. S19: the algorithm is pinned to the key, and exp, sub and did are
/// required.
struct TokenVerifierTests {
    private static let secret = "a secret that tests share"
    /// The gateway's clock in these tests, in seconds since 1970.
    private static let now = 1_800_000_000.0

    private static let good: [String: any Sendable] = [
        "sub": "user", "did": "device", "exp": Int(now) + 60,
    ]

    private func verifier(
        secret: String? = secret, issuer: String? = nil, audience: String? = nil, skew: Int = 5,
        rejections: RejectedTokens? = nil,
        now: @escaping @Sendable () -> TimeInterval = { Self.now }
    ) async -> TokenVerifier {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let cache = TokenCache()
        // Never run: whatever is asked of it fails, and HS256 asks nothing.
        let auth = RPCClient(directory: "/nonexistent", service: "auth", logger: logger)
        return TokenVerifier(
            keys: await KeySource(
                auth: auth, hs256Secrets: secret.map { [$0] } ?? [], cache: cache,
                logger: logger),
            cache: cache,
            rules: TokenRules(issuer: issuer, audience: audience, skewSeconds: skew), now: now,
            rejections: rejections)
    }

    private func token(
        _ claims: [String: any Sendable],
        header: [String: any Sendable] = ["alg": "HS256", "typ": "JWT"],
        secret: String = secret
    ) throws -> String {
        let parts = try [header, claims].map { part in
            Self.base64URL(try JSONSerialization.data(withJSONObject: part))
        }
        let signed = parts.joined(separator: ".")
        let signature = HMAC<SHA256>.authenticationCode(
            for: Data(signed.utf8), using: SymmetricKey(data: Data(secret.utf8)))
        return signed + "." + Self.base64URL(Data(signature))
    }

    private static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing(
            "=", with: "")
    }

    private func refusal(_ verifier: TokenVerifier, _ authorization: String?) async -> String? {
        do {
            _ = try await verifier.caller(authorization: authorization)
            return nil
        } catch let error as WireError {
            #expect(error.status == .unauthorized)
            #expect(error.code == "authentication_failed")
            return error.message
        } catch {
            Issue.record(error)
            return nil
        }
    }

    @Test(arguments: ["Bearer", "bearer", "BEARER"])
    func `a good token names its user and device`(scheme: String) async throws {
        let caller = try await verifier().caller(
            authorization: "\(scheme) \(try token(Self.good))"
        ).identity
        #expect(caller == CallerIdentity(user: "user", device: "device"))
    }

    @Test func `a token of the shared secret may carry a key name`() async throws {
        let named = try token(Self.good, header: ["alg": "HS256", "kid": "theirs"])
        let caller = try await verifier().caller(authorization: "Bearer \(named)").identity
        #expect(caller.user == "user")
    }

    @Test(
        arguments: [
            (nil, "Authorization header required"), ("", "Invalid authorization header format"),
            ("Bearer", "Invalid authorization header format"),
            ("Bearer ", "Invalid authorization header format"),
            ("Basic dTpw", "Invalid authorization header format"),
            ("Bearer a b", "Invalid authorization header format"),
            ("Bearer  a", "Invalid authorization header format"), ("Bearer a", "Invalid token"),
            ("Bearer a.b", "Invalid token"), ("Bearer ..", "Invalid token"),
            ("Bearer a.b.c.d", "Invalid token"),
            ("Bearer é.é.é", "Invalid token"),
        ] as [(String?, String)])
    func `headers without a token are refused in the words that clients know`(
        header: String?, message: String
    ) async {
        #expect(await refusal(verifier(), header) == message)
    }

    @Test(arguments: ["sub", "did", "exp"])
    func `a token without a required claim is refused`(claim: String) async throws {
        var claims = Self.good
        claims[claim] = nil
        let message = await refusal(await verifier(), "Bearer \(try token(claims))")
        #expect(message?.contains("missing \(claim)") == true)
    }

    @Test(arguments: ["", String(repeating: "x", count: 257), "a\u{0}b", "line\nbreak"])
    func `a user or device that is empty, too long or holds control characters is refused`(
        text: String
    ) async throws {
        for claim in ["sub", "did"] {
            var claims = Self.good
            claims[claim] = text
            #expect(await refusal(await verifier(), "Bearer \(try token(claims))") != nil)
        }
    }

    @Test func `times count with the allowed skew, to the second`() async throws {
        func message(_ claim: String, _ offset: Int) async throws -> String? {
            var claims = Self.good
            claims[claim] = Int(Self.now) + offset
            return await refusal(await verifier(), "Bearer \(try token(claims))")
        }
        #expect(try await message("exp", -4) == nil)
        #expect(try await message("exp", -5) == "token is expired")
        #expect(try await message("nbf", 5) == nil)
        #expect(try await message("nbf", 6) == "token is not valid yet")
    }

    @Test func `an expired token is refused although it was verified before`() async throws {
        let clock = TestClock(Self.now)
        let verifier = await verifier(skew: 0, now: { clock.now })
        let header = "Bearer \(try token(Self.good))"
        #expect(await refusal(verifier, header) == nil)
        clock.now += 59
        #expect(await refusal(verifier, header) == nil)
        clock.now += 1
        #expect(await refusal(verifier, header) == "token is expired")
    }

    @Test func `issuer and audience are checked when they are configured`() async throws {
        let plain = "Bearer \(try token(Self.good))"
        let full =
            "Bearer " + (try token(Self.good.merging(["iss": "i", "aud": ["x", "a"]]) { $1 }))
        let strict = await verifier(issuer: "i", audience: "a")
        #expect(await refusal(verifier(), full) == nil)
        #expect(await refusal(strict, full) == nil)
        #expect(await refusal(strict, plain) == "token has another issuer")
        #expect(await refusal(verifier(audience: "b"), full) == "token has another audience")
    }

    @Test func `a token for no audience at all is for nobody who asks for one`() async throws {
        let nobody = "Bearer " + (try token(Self.good.merging(["aud": [String]()]) { $1 }))
        #expect(await refusal(verifier(), nobody) == nil)
        #expect(await refusal(verifier(audience: "a"), nobody) == "token has another audience")
    }

    @Test(arguments: ["none", "None", "HS384", "HS512", "RS256", "EdDSA", "hs256", ""])
    func `no other algorithm is tried, whatever the signature`(algorithm: String) async throws {
        let forged = try token(Self.good, header: ["alg": algorithm])
        #expect(await refusal(await verifier(), "Bearer \(forged)") == "Invalid token")
        let unsigned = forged.split(separator: ".").prefix(2).joined(separator: ".") + "."
        #expect(await refusal(await verifier(), "Bearer \(unsigned)") == "Invalid token")
    }

    @Test func `a token of another secret, or with a changed claim, is refused`() async throws {
        let other = try token(Self.good, secret: "another secret")
        #expect(await refusal(await verifier(), "Bearer \(other)") == "Invalid token")
        let mine = try token(Self.good).split(separator: ".")
        let theirs = try token(Self.good.merging(["sub": "victim"]) { $1 }).split(separator: ".")
        #expect(
            await refusal(await verifier(), "Bearer \(mine[0]).\(theirs[1]).\(mine[2])")
                == "Invalid token")
    }

    @Test func `a token that demands an unknown extension is refused`() async throws {
        let critical = try token(Self.good, header: ["alg": "HS256", "crit": ["b64"]])
        #expect(await refusal(await verifier(), "Bearer \(critical)") == "Invalid token")
    }

    @Test(arguments: ["exp", "nbf", "iat"])
    func `a time that is no number is refused`(claim: String) async throws {
        let verifier = await verifier()
        var claims = Self.good
        claims[claim] = claim == "exp" ? Int(Self.now) + 60 : Int(Self.now)
        #expect(await refusal(verifier, "Bearer \(try token(claims))") == nil)
        let times: [any Sendable] = ["\(Int(Self.now) - 1)", "2027-01-15T08:00:00Z", true, [1]]
        for time in times {
            claims[claim] = time
            #expect(
                await refusal(verifier, "Bearer \(try token(claims))") == "Invalid token",
                "\(time)")
        }
    }

    @Test func `a token whose parts are padded is refused`() async throws {
        let verifier = await verifier()
        let token = try token(Self.good)
        #expect(await refusal(verifier, "Bearer \(token)") == nil)
        for place in 0..<3 {
            var parts = token.split(separator: ".").map(String.init)
            parts[place] += "="
            let padded = parts.joined(separator: ".")
            #expect(await refusal(verifier, "Bearer \(padded)") != nil, "\(padded)")
        }
    }

    @Test func `without a secret no HS256 token gets in`() async throws {
        #expect(
            await refusal(verifier(secret: nil), "Bearer \(try token(Self.good))")
                == "Invalid token")
    }

    @Test func `an oversized token is refused before it is read`() async throws {
        let long = try token(Self.good.merging(["pad": String(repeating: "p", count: 9000)]) { $1 })
        #expect(
            await refusal(await verifier(), "Bearer \(long)")
                == "Invalid authorization header format")
    }

    @Test func `after too many rejected tokens only those are taken that were verified before`()
        async throws
    {
        let verifier = await verifier(rejections: RejectedTokens(tokensPerSecond: 1))
        let known = "Bearer \(try token(Self.good))"
        #expect(await refusal(verifier, known) == nil)
        let forged = "Bearer \(try token(Self.good, secret: "another secret"))"
        for _ in 1...4 { #expect(await refusal(verifier, forged) == "Invalid token") }
        var refused: WireError?
        for _ in 1...3 where refused?.status != .tooManyRequests {
            refused = await #expect(throws: WireError.self) {
                try await verifier.caller(authorization: forged)
            }
        }
        #expect(refused?.status == .tooManyRequests && refused?.code == "too_many_rejections")
        #expect(refused?.retryAfter != nil)
        #expect(await refusal(verifier, known) == nil)
        // Without a token nothing is checked.
        #expect(await refusal(verifier, nil) == "Authorization header required")
    }

    @Test func `a token that was good before the keys changed is checked, whatever others sent`()
        async throws
    {
        let verifier = await verifier(rejections: RejectedTokens(tokensPerSecond: 1))
        let known = "Bearer \(try token(Self.good))"
        #expect(await refusal(verifier, known) == nil)
        let forged = "Bearer \(try token(Self.good, secret: "another secret"))"
        for _ in 1...4 { #expect(await refusal(verifier, forged) == "Invalid token") }
        verifier.cache.clear()
        #expect(await refusal(verifier, known) == nil)
        // One that is refused then counts as any other.
        await verifier.keys.use(hs256Secrets: ["a new secret for everyone"])
        #expect(await refusal(verifier, known) == "Invalid token")
        var refused: WireError?
        for _ in 1...3 where refused?.status != .tooManyRequests {
            refused = await #expect(throws: WireError.self) {
                try await verifier.caller(authorization: known)
            }
        }
        #expect(refused?.status == .tooManyRequests)
    }

    @Test func `tokens that wait for keys are not counted as rejected`() async throws {
        let verifier = await verifier(rejections: RejectedTokens(tokensPerSecond: 1))
        // Nobody has the key of this name, as Auth cannot be asked.
        let waiting = "Bearer \(try token(Self.good, header: ["alg": "ES256", "kid": "k"]))"
        for _ in 1...20 {
            await #expect(throws: RPCFailure.self) {
                try await verifier.caller(authorization: waiting)
            }
        }
    }
}
