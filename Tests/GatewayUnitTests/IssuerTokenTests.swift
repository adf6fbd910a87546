import Foundation
import RPC
import Telemetry
import TestTokens
import Testing

@testable import Gateway

/// Which tokens of other issuers get in, and as whom.
struct IssuerTokenTests {
    private static let yaml = """
        name: acme
        issuer: https://id.example.com/
        jwks_url: https://id.example.com/jwks
        audience: [sync, sync-2]
        """
    private static let now = Int(IssuerFixture.now)
    private static let good: [String: any Sendable] = [
        "iss": "https://id.example.com/", "aud": "sync", "sub": "ann", "did": "phone",
        "exp": now + 60, "iat": now,
    ]

    private func fixture(
        _ keys: [TestKey], more yaml: String = "", rules: TokenRules = TokenRules()
    ) async throws -> IssuerFixture {
        try await IssuerFixture(
            Self.yaml + "\n" + yaml, publishing: ["acme": TestPublisher(try TestKey.set(keys))],
            rules: rules)
    }

    private func good(_ changes: [String: (any Sendable)?]) -> [String: any Sendable] {
        var claims = Self.good
        for (name, value) in changes { claims[name] = value }
        return claims
    }

    @Test(arguments: TestKey.algorithms)
    func `a token of each algorithm gets in, and a changed one does not`(
        algorithm: String
    ) async throws {
        let key = try TestKey(algorithm, kid: "k")
        let fixture = try await fixture([key])
        let caller = try await fixture.caller(try key.token(Self.good))
        #expect(
            caller.identity
                == CallerIdentity(
                    user: "ann", device: "phone", issuer: "https://id.example.com/"))
        #expect(!caller.namesDeviceByHeader)
        let other = try TestKey(algorithm, kid: "k").token(Self.good)
        #expect(await fixture.refusal(other) == "Invalid token")
        let mine = try key.token(Self.good).split(separator: ".")
        let theirs = try key.token(good(["sub": "victim"])).split(separator: ".")
        #expect(await fixture.refusal("\(mine[0]).\(theirs[1]).\(mine[2])") == "Invalid token")
        #expect(await fixture.refusal("\(mine[0]).\(mine[1]).") == "Invalid token")
        #expect(fixture.rejected("signature", "acme") == 3)
    }

    /// A key may serve several algorithms, a token's header chooses: only what both allow counts.
    @Test func `no algorithm is tried with a key of another kind`() async throws {
        let keys = try TestKey.algorithms.map { try TestKey($0, kid: "k-" + $0) }
        let fixture = try await fixture(keys)
        for key in keys {
            for other in keys where other.algorithm != key.algorithm {
                let forged = try key.token(
                    Self.good, header: ["alg": other.algorithm, "kid": key.kid ?? ""])
                #expect(await fixture.refusal(forged) == "Invalid token")
            }
        }
    }

    @Test(arguments: ["RS256", "ES256", "EdDSA"])
    func `a public key is never a shared secret`(algorithm: String) async throws {
        let key = try TestKey(algorithm, kid: "k")
        let fixture = try await fixture([key])
        #expect(await fixture.refusal(try key.token(Self.good)) == nil)
        let secrets = [
            Data(try TestKey.set([key]).utf8), Data((key.web["n"] as? String ?? "").utf8),
            Data((key.web["x"] as? String ?? "").utf8), Data(IssuerFixture.secret.utf8),
        ]
        for secret in secrets {
            for header: [String: any Sendable] in [["kid": "k"], [:], ["kid": "k", "alg": "none"]] {
                let forged = try hmacToken(Self.good, secret: secret, header: header)
                #expect(await fixture.refusal(forged) == "Invalid token")
            }
        }
        #expect(fixture.rejected("algorithm", "acme") == 12)
    }

    @Test func `an issuer may use its own algorithms alone`() async throws {
        let keys = [try TestKey("RS256", kid: "1"), try TestKey("ES256", kid: "2")]
        let fixture = try await fixture(keys, more: "algorithms: ES256")
        #expect(await fixture.refusal(try keys[1].token(Self.good)) == nil)
        #expect(await fixture.refusal(try keys[0].token(Self.good)) == "Invalid token")
        #expect(fixture.rejected("algorithm", "acme") == 1)
    }

    @Test func `the issuer that a token names is the only one whose keys count`() async throws {
        let (one, two) = (try TestKey("ES256", kid: "k"), try TestKey("ES256", kid: "k"))
        func entry(_ name: String) -> String {
            "- {name: \(name), issuer: \(name), jwks_file: /k, audience: sync, "
                + "user_prefix: \"\(name):\"}"
        }
        let fixture = try await IssuerFixture(
            entry("one") + "\n" + entry("two"),
            publishing: [
                "one": TestPublisher(try TestKey.set([one])),
                "two": TestPublisher(try TestKey.set([two])),
            ])
        for (key, name) in [(one, "one"), (two, "two")] {
            let caller = try await fixture.caller(try key.token(good(["iss": name])))
            #expect(caller.identity.user == name + ":ann")
            let other = name == "one" ? "two" : "one"
            #expect(await fixture.refusal(try key.token(good(["iss": other]))) == "Invalid token")
            // Nobody's: the installation's own keys are asked, which this is not one of.
            #expect(await fixture.refusal(try key.token(good(["iss": "three"]))) != nil)
            #expect(await fixture.refusal(try key.token(good(["iss": nil]))) != nil)
        }
    }

    @Test func `the installation's own tokens go on beside other issuers`() async throws {
        let fixture = try await fixture([try TestKey("ES256", kid: "k")])
        let secret = Data(IssuerFixture.secret.utf8)
        for iss in [nil, "my-back-end"] {
            let token = try hmacToken(good(["iss": iss]), secret: secret)
            #expect(await fixture.refusal(token) == nil)
        }
        // What says that it is the issuer's must be signed by the issuer.
        #expect(await fixture.refusal(try hmacToken(Self.good, secret: secret)) == "Invalid token")
    }

    @Test func `claims are checked, and each mistake has its words and its cause`() async throws {
        let key = try TestKey("ES256", kid: "k")
        let fixture = try await fixture([key], more: "roles_claim: roles")
        let cases: [([String: (any Sendable)?], String, String)] = [
            (["aud": "other"], "token has another audience", "audience"),
            (["aud": nil], "token has another audience", "audience"),
            (["aud": [String]()], "token has another audience", "audience"),
            (["aud": 5], "token has another audience", "audience"),
            (["exp": nil], "missing exp in token", "claims"),
            (["exp": "soon"], "exp in token must be a number of seconds", "claims"),
            (["exp": Self.now - 5], "token is expired", "expired"),
            (["nbf": Self.now + 6], "token is not valid yet", "early"),
            (["iat": Self.now + 6], "token was issued in the future", "early"),
            (["sub": nil], "missing sub (user ID) in token", "claims"),
            (["sub": 5], "missing sub (user ID) in token", "claims"),
            (["sub": ""], "missing sub (user ID) in token", "claims"),
            (["sub": "a\nb"], "sub (user ID) in token must have at most 256", "claims"),
            (["did": nil], "missing did (device ID) in token", "claims"),
            (["roles": 5], "roles in token must be a name or a list of names", "claims"),
            (["roles": (0..<65).map { "r\($0)" }], "roles in token must be at most 64", "claims"),
        ]
        for (changes, message, cause) in cases {
            let before = fixture.rejected(cause, "acme")
            let refusal = await fixture.refusal(try key.token(good(changes)))
            #expect(refusal?.hasPrefix(message) == true, "\(changes): \(refusal ?? "taken")")
            #expect(fixture.rejected(cause, "acme") == before + 1, "\(changes)")
        }
        for changes: [String: (any Sendable)?] in [
            ["aud": ["x", "sync-2"]], ["exp": Self.now - 4], ["nbf": Self.now + 5],
            ["iat": Self.now + 5], ["exp": Double(Self.now) + 0.5], ["iat": nil], ["exp": 1e18],
        ] {
            #expect(await fixture.refusal(try key.token(good(changes))) == nil, "\(changes)")
        }
    }

    @Test func `a prefix counts as part of the user's id`() async throws {
        let key = try TestKey("ES256", kid: "k")
        let fixture = try await fixture([key], more: "user_prefix: \"acme:\"")
        for (length, fits) in [(251, true), (252, false)] {
            let user = String(repeating: "u", count: length)
            let refusal = await fixture.refusal(try key.token(good(["sub": user])))
            #expect((refusal == nil) == fits)
        }
        #expect(await fixture.refusal(try key.token(good(["sub": ""]))) != nil)
    }

    @Test func `roles that no table could name are left out, and so are all but the known ones`()
        async throws
    {
        let key = try TestKey("ES256", kid: "k")
        let roles = ["editor", "Sales Manager", "admin", "uma_authorization"]
        for (yaml, expected) in [
            ("", []), ("roles_claim: roles", ["editor", "uma_authorization"]),
            ("roles_claim: roles\nroles: [admin]", ["admin"]),
            ("roles_claim: roles\nroles: [editor, clerk]", ["editor"]),
            ("roles_claim: other", []),
        ] {
            let caller = try await fixture([key], more: yaml).caller(
                try key.token(good(["roles": roles])))
            #expect(caller.identity.roles == expected, "\(yaml)")
        }
    }

    @Test func `tokens that live too long are counted, or refused where that is set`() async throws
    {
        let key = try TestKey("ES256", kid: "k")
        let month = good(["exp": Self.now + 30 * 86_400])
        let lax = try await fixture([key])
        #expect(await lax.refusal(try key.token(month)) == nil)
        #expect(
            lax.metrics.rendered().contains(
                "oversync_gateway_lenient_tokens_total{reason=\"lifetime\",issuer=\"acme\"} 1"))
        let strict = try await fixture([key], rules: TokenRules(isStrict: true))
        #expect(
            await strict.refusal(try key.token(month))
                == "token must not be good for longer than 86400 s")
        #expect(strict.rejected("lifetime", "acme") == 1)
    }

    @Test func `a token may leave its key unnamed if there is only one`() async throws {
        let nameless = try TestKey("EdDSA", kid: nil)
        var published = nameless
        published.web["kid"] = "published"
        let others = [try TestKey("ES256", kid: "k"), try TestKey("ES256", kid: "l")]
        let one = try await fixture(others + [published])
        #expect(await one.refusal(try nameless.token(Self.good)) == nil)
        let several = try await fixture([published, try TestKey("EdDSA", kid: "m")])
        #expect(await several.refusal(try nameless.token(Self.good)) == "Invalid token")
        #expect(several.rejected("unknown_key", "acme") == 1)
    }
}
