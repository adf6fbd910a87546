import Crypto
import Foundation
import JWTKit
import Logging
import Model
import RPC

@testable import Gateway

extension FuzzEntry {
    /// A token of somebody who has no key: it never gets in.
    static let token = FuzzEntry(
        "token", mostBytes: 4096,
        later: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let probe = try await TokenProbe.shared.value
            guard !probe.asksAuth(text) else { return }
            try hold(
                try await probe.caller("Bearer " + text) == nil, "a token without a key gets in")
        })

    /// The claims of a token that a key has signed, the installation's own or an issuer's.
    static let claims = FuzzEntry(
        "claims", mostBytes: 2048,
        later: { bytes in
            let (choice, payload) = bytes.chosen(of: 2)
            let probe = try await TokenProbe.shared.value
            let token = choice == 0 ? probe.own(payload) : try probe.issued(payload)
            guard !probe.asksAuth(token), let caller = try await probe.caller("Bearer " + token)
            else { return }
            let identity = caller.identity
            try hold(isIdentity(identity.user), "a user has a name")
            try hold(
                isIdentity(identity.device) || caller.namesDeviceByHeader, "a device has a name")
            try hold(
                choice == 0 || identity.user.hasPrefix("issuer:"), "an issuer's users are its own")
            try hold(
                identity.roles.count <= TokenRules.maximumRoles
                    && identity.roles.allSatisfy(isRoleName), "roles have names")
            try hold(
                !identity.roles.contains("admin") || choice == 0,
                "an issuer makes no administrators")
            try hold(caller.expires > TokenProbe.now - 60, "a token that is over gets in")
        })

    /// A set of published keys: no key verifies what nobody signed.
    static let keys = FuzzEntry(
        "keys", mostBytes: 4096,
        later: { bytes in
            let document = String(decoding: bytes, as: UTF8.self)
            guard let set = try? await KeySet(document) else { return }
            try hold(set.checksTheSame(as: set), "a set is equal to itself")
            for algorithm in TokenAlgorithm.allCases {
                guard let key = set.only(algorithm) else { continue }
                for bytes in [64, 96, 128, 256] {
                    let token = TokenProbe.unsigned(algorithm.rawValue, signature: bytes)
                    let claims = try? await key.verify(token, as: CallerClaims.self)
                    try hold(claims == nil, "a key takes what it has not signed")
                }
            }
        })
}

/// A verifier with a secret and an issuer, and what signs for both.
private struct TokenProbe: Sendable {
    /// Made once: to make a verifier takes longer than to verify.
    static let shared = Task { try await TokenProbe() }
    /// The verifier's clock, in seconds since 1970.
    static let now = 1_800_000_000.0
    private static let secret = "a secret that only this entry has"
    private static let name = "https://issuer.example"

    private let verifier: TokenVerifier
    private let issuers: Issuers
    private let key: P256.Signing.PrivateKey

    private init() async throws {
        key = try P256.Signing.PrivateKey(rawRepresentation: Data(repeating: 1, count: 32))
        let point = key.publicKey.rawRepresentation
        let set = """
            {"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"\(Self.base64URL(point.prefix(32)))",
            "y":"\(Self.base64URL(point.suffix(32)))"}]}
            """
        let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
        let cache = TokenCache()
        let settings = IssuerSettings(
            name: "issuer", issuer: Self.name, keys: .file("none"), audience: ["oversync"],
            algorithms: [.es256], user: ClaimPath(name: "sub"), userPrefix: "issuer:",
            sharesUsers: false, device: .header, roles: ClaimPath("realm.roles"),
            knownRoles: nil, refreshSeconds: 300, withheldRole: "admin")
        // A key that is not known is not waited for.
        let pace = PublishedKeys.Pace(refresh: .seconds(300), interval: .zero)
        let keys = PublishedKeys(of: "issuer", pace, cache: cache, logger: logger) {
            try await KeySet(set)
        }
        issuers = Issuers([Issuer(settings: settings, keys: keys)])
        let auth = RPCClient(directory: "/nonexistent", service: "auth", logger: logger)
        verifier = TokenVerifier(
            keys: await KeySource(
                auth: auth, hs256Secrets: [Self.secret], cache: cache, logger: logger),
            cache: cache, issuers: issuers, now: { Self.now })
    }

    /// Whether only Auth's keys could tell: it is not there, and it would be waited for.
    func asksAuth(_ token: String) -> Bool {
        guard let header = try? TokenHeader(token) else { return false }
        return header.alg == "ES256" && issuers.issuer(of: token) == nil
    }

    /// Nil for a token that is refused.
    func caller(_ authorization: String) async throws -> VerifiedCaller? {
        do {
            return try await verifier.caller(authorization: authorization)
        } catch let error as WireError {
            try hold(error.code == "authentication_failed", "a token is refused as one")
            return nil
        }
    }

    func own(_ payload: [UInt8]) -> String {
        let signed = Self.signed(#"{"alg":"HS256","typ":"JWT"}"#, payload)
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(signed.utf8), using: SymmetricKey(data: Data(Self.secret.utf8)))
        return signed + "." + Self.base64URL(Data(code))
    }

    func issued(_ payload: [UInt8]) throws -> String {
        let signed = Self.signed(#"{"alg":"ES256","kid":"k"}"#, payload)
        let signature = try key.signature(for: Data(signed.utf8)).rawRepresentation
        return signed + "." + Self.base64URL(signature)
    }

    /// A token whose signature is zeros.
    static func unsigned(_ algorithm: String, signature bytes: Int) -> String {
        signed(#"{"alg":"\#(algorithm)"}"#, Array(#"{"sub":"a"}"#.utf8)) + "."
            + base64URL(Data(repeating: 0, count: bytes))
    }

    private static func signed(_ header: String, _ payload: [UInt8]) -> String {
        base64URL(Data(header.utf8)) + "." + base64URL(Data(payload))
    }

    private static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
    }
}
