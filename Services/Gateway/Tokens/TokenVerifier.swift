import Foundation
import JWTKit
import Model
import RPC

/// Finds out from a request's token whose request it is.
struct TokenVerifier: Sendable {
    let keys: KeySource
    let cache: TokenCache
    let issuer: String?
    let audience: String?
    let skewSeconds: Int
    /// Seconds since 1970.
    let now: @Sendable () -> TimeInterval
    /// How many tokens of an address may be rejected; nil: any number.
    var rejections: RejectedTokens?

    /// Longest token, in bytes: nobody's claims need more.
    private static let maximumTokenBytes = 8192
    /// Most roles of one token.
    private static let maximumRoles = 64

    /// - Parameters:
    ///   - authorization: the header's value.
    ///   - address: whose rejected tokens are counted.
    /// - Throws: `WireError` 401; 429 for a token that is not checked, as too many of its address
    ///   were rejected; `RPCFailure` when the keys cannot be had.
    func caller(
        authorization: String?, from address: PeerAddress = .unknown
    ) async throws -> VerifiedCaller {
        let token = try Self.bearer(authorization)
        let key = TokenCache.key(of: token)
        if let known = cache.caller(key, now: now()) { return known }
        // A token that was good before the keys changed may be checked, whatever others sent.
        let allowance = cache.wasGood(key) ? nil : rejections
        try allowance?.check(address)
        let generation = cache.generation
        let header = try Self.header(of: token, allowance, address)
        // Whoever waits for keys has not been rejected yet.
        let collection = try await keys.verifier(for: header)
        try allowance?.begin(address)
        let verified: VerifiedCaller
        do {
            verified = try await verify(token, collection)
        } catch {
            cache.forget(key)
            throw error
        }
        allowance?.accept(address)
        cache.keep(verified, under: key, generation: generation)
        return verified
    }

    private static func header(
        of token: String, _ allowance: RejectedTokens?, _ address: PeerAddress
    ) throws(WireError) -> TokenHeader {
        do throws(WireError) {
            return try TokenHeader(token)
        } catch {
            try allowance?.begin(address)
            throw error
        }
    }

    private static func bearer(_ header: String?) throws(WireError) -> String {
        guard let header else { throw .unauthenticated("Authorization header required") }
        // By bytes: telling the characters of a long token apart costs more than looking it up.
        let parts = header.utf8.split(
            separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, Substring(parts[0]).lowercased() == "bearer", !parts[1].isEmpty,
            parts[1].count <= maximumTokenBytes
        else { throw .unauthenticated("Invalid authorization header format") }
        return String(Substring(parts[1]))
    }

    private func verify(
        _ token: String, _ collection: JWTKeyCollection?
    ) async throws -> VerifiedCaller {
        guard let collection else { throw WireError.unauthenticated("Invalid token") }
        let claims: CallerClaims
        do {
            claims = try await collection.verify(token, as: CallerClaims.self)
        } catch {
            throw WireError.unauthenticated("Invalid token")
        }
        let expires = try checkTimes(claims)
        try checkParties(claims)
        let caller = CallerIdentity(
            user: try identity(claims.sub, "sub (user ID)"),
            device: try identity(claims.did, "did (device ID)"),
            roles: try roles(claims.roles))
        return VerifiedCaller(identity: caller, expires: expires)
    }

    private func roles(_ names: ClaimNames?) throws(WireError) -> [String] {
        guard let names = names?.names else { return [] }
        guard names.count <= Self.maximumRoles, names.allSatisfy(isRoleName) else {
            throw .unauthenticated(
                "roles in token must be at most \(Self.maximumRoles) names of letters, digits, . _ : and -"
            )
        }
        return names
    }

    /// - Returns: when the token ends, by the gateway's clock.
    private func checkTimes(_ claims: CallerClaims) throws(WireError) -> TimeInterval {
        guard let exp = claims.exp else { throw .unauthenticated("missing exp in token") }
        let now = now()
        let skew = TimeInterval(skewSeconds)
        let expires = exp.value.timeIntervalSince1970 + skew
        guard now < expires else { throw .unauthenticated("token is expired") }
        if let nbf = claims.nbf, now < nbf.value.timeIntervalSince1970 - skew {
            throw .unauthenticated("token is not valid yet")
        }
        return expires
    }

    private func checkParties(_ claims: CallerClaims) throws(WireError) {
        if let issuer, claims.iss != issuer { throw .unauthenticated("token has another issuer") }
        if let audience, claims.aud?.names.contains(audience) != true {
            throw .unauthenticated("token has another audience")
        }
    }

    private func identity(_ text: String?, _ claim: String) throws(WireError) -> String {
        guard let text, !text.isEmpty else { throw .unauthenticated("missing \(claim) in token") }
        let isClean = !text.unicodeScalars.contains { $0.properties.generalCategory == .control }
        guard isClean, text.utf8.count <= WireLimits.maximumIdentityBytes else {
            throw .unauthenticated(
                "\(claim) in token must have at most \(WireLimits.maximumIdentityBytes) bytes and no control characters"
            )
        }
        return text
    }
}

/// The claims that the gateway reads. All are optional here, so that a missing one can be named.
struct CallerClaims: JWTPayload {
    let sub: String?
    let did: String?
    let exp: ExpirationClaim?
    let nbf: NotBeforeClaim?
    let iss: String?
    // Not JWTKit's claim: that one traps on a list without names.
    let aud: ClaimNames?
    let roles: ClaimNames?

    /// Times and parties are checked by `TokenVerifier`, by its own clock and settings.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

/// A claim that is a list of names, or one name: `roles`, `aud`.
struct ClaimNames: Codable, Sendable {
    let names: [String]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        names = try (try? container.decode([String].self)) ?? [container.decode(String.self)]
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(names)
    }
}

/// A token's header, read before anything is verified, to choose the key: an algorithm is only ever tried
/// with a key that was made for it.
struct TokenHeader: Decodable {
    let alg: String
    let kid: String?
    /// Names of extensions that a reader must understand; this one understands none (RFC 7515 §4.1.11).
    let crit: [String]?

    init(_ token: String) throws(WireError) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let data = Data(base64URL: parts[0]),
            let header = try? JSONDecoder().decode(TokenHeader.self, from: data), header.crit == nil
        else { throw .unauthenticated("Invalid token") }
        self = header
    }
}

extension Data {
    /// Base64 for URLs without padding (RFC 4648 §5).
    fileprivate init?(base64URL text: Substring) {
        var standard = text.replacing("-", with: "+").replacing("_", with: "/")
        standard += String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        self.init(base64Encoded: String(standard))
    }
}
