import Foundation
import JWTKit
import Model
import RPC

/// Finds out from a request's token whose request it is.
struct TokenVerifier: Sendable {
    let keys: KeySource
    let cache: TokenCache
    var issuers = Issuers.none
    var rules = TokenRules()
    /// Seconds since 1970.
    let now: @Sendable () -> TimeInterval
    /// How many tokens of an address may be rejected; nil: any number.
    var rejections: RejectedTokens?
    var observer: TokenObserver?
    /// Receives whose token was rejected although its signature is good, and why.
    var whenRejected: (@Sendable (CallerIdentity, TokenRejection.Cause) -> Void)?

    /// Longest token, in bytes: nobody's claims need more.
    private static let maximumTokenBytes = 8192

    /// A token that was taken apart, and whose keys are known.
    private struct Candidate {
        let text: String
        let header: TokenHeader
        /// Nil: the installation's own.
        let issuer: Issuer?

        /// For metrics.
        var origin: String {
            if let issuer { return issuer.settings.name }
            return switch header.alg {
            case "HS256": "hs256"
            case "ES256": "auth"
            default: "none"
            }
        }
    }

    /// - Parameters:
    ///   - authorization: the header's value.
    ///   - address: whose rejected tokens are counted.
    /// - Throws: `WireError` 401; 429 for a token that is not checked, as too many of its address
    ///   were rejected; `RPCFailure` when the keys cannot be had.
    func caller(
        authorization: String?, from address: PeerAddress = .unknown
    ) async throws -> VerifiedCaller {
        let token = try counting("none") { () throws(TokenRejection) in
            try Self.bearer(authorization)
        }
        let key = TokenCache.key(of: token)
        if let known = cache.caller(key, now: now()) { return known }
        // A token that was good before the keys changed may be checked, whatever others sent.
        let allowance = cache.wasGood(key) ? nil : rejections
        try allowance?.check(address)
        let generation = cache.generation
        let candidate = try candidate(token, allowance, address)
        // A caller that waits for keys is not rejected yet.
        let collections = try await collections(for: candidate)
        try allowance?.begin(address)
        let verified: VerifiedCaller
        do {
            verified = try await verify(candidate, collections)
        } catch {
            cache.forget(key)
            observer?.count(error.cause, issuer: candidate.origin)
            throw WireError.unauthenticated(error.message)
        }
        allowance?.accept(address)
        cache.keep(verified, under: key, generation: generation)
        return verified
    }

    private func counting<Value>(
        _ issuer: String, _ body: () throws(TokenRejection) -> Value
    ) throws(WireError) -> Value {
        do { return try body() } catch {
            observer?.count(error.cause, issuer: issuer)
            throw .unauthenticated(error.message)
        }
    }

    private func candidate(
        _ token: String, _ allowance: RejectedTokens?, _ address: PeerAddress
    ) throws(WireError) -> Candidate {
        do throws(WireError) {
            return try counting("none") { () throws(TokenRejection) in
                let header = try TokenHeader(token)
                return Candidate(text: token, header: header, issuer: issuers.issuer(of: token))
            }
        } catch {
            try allowance?.begin(address)
            throw error
        }
    }

    private static func bearer(_ header: String?) throws(TokenRejection) -> String {
        guard let header else {
            throw TokenRejection(.missing, "Authorization header required")
        }
        // By bytes: telling the characters of a long token apart costs more than looking it up.
        let parts = header.utf8.split(
            separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, Substring(parts[0]).lowercased() == "bearer", !parts[1].isEmpty,
            parts[1].count <= maximumTokenBytes
        else { throw TokenRejection(.missing, "Invalid authorization header format") }
        return String(Substring(parts[1]))
    }

    /// The keys to try, first those to try first: each of the algorithm and the name that the
    /// header says, and no issuer's but the one that the token names.
    private func collections(for candidate: Candidate) async throws -> [JWTKeyCollection] {
        guard let issuer = candidate.issuer else {
            return try await keys.verifiers(for: candidate.header)
        }
        guard let algorithm = issuer.settings.algorithm(candidate.header) else { return [] }
        return try await issuer.keys.key(candidate.header.kid, algorithm).map { [$0] } ?? []
    }

    private func verify(
        _ candidate: Candidate, _ collections: [JWTKeyCollection]
    ) async throws(TokenRejection) -> VerifiedCaller {
        if let issuer = candidate.issuer {
            guard issuer.settings.algorithm(candidate.header) != nil else {
                throw TokenRejection(.algorithm)
            }
            let claims = try await Self.signed(candidate.text, collections, as: IssuerClaims.self)
            do throws(TokenRejection) { return try caller(of: claims, issuer.settings) } catch {
                if let identity = try? issuer.settings.identity(of: claims.all) {
                    whenRejected?(identity, error.cause)
                }
                throw error
            }
        }
        guard ["HS256", "ES256"].contains(candidate.header.alg) else {
            throw TokenRejection(.algorithm)
        }
        let claims = try await Self.signed(candidate.text, collections, as: CallerClaims.self)
        do throws(TokenRejection) {
            return try caller(of: claims, origin: candidate.origin)
        } catch {
            let user = try? TokenRules.identity(claims.sub, "sub")
            let device = try? TokenRules.identity(claims.did, "did")
            if let user, let device {
                whenRejected?(CallerIdentity(user: user, device: device), error.cause)
            }
            throw error
        }
    }

    /// The claims, once one of the keys is seen to have signed them.
    private static func signed<Claims: JWTPayload>(
        _ token: String, _ collections: [JWTKeyCollection], as type: Claims.Type
    ) async throws(TokenRejection) -> Claims {
        guard !collections.isEmpty else { throw TokenRejection(.unknownKey) }
        var cause = TokenRejection.Cause.signature
        for keys in collections {
            do {
                return try await keys.verify(token, as: type)
            } catch let error as JWTError where error.errorType == .malformedToken {
                cause = .malformed
            } catch is DecodingError {
                cause = .malformed
            } catch {
                continue
            }
        }
        throw TokenRejection(cause)
    }

    private func caller(
        of claims: CallerClaims, origin: String
    ) throws(TokenRejection) -> VerifiedCaller {
        let times = TokenRules.Times(
            exp: claims.exp?.value.timeIntervalSince1970,
            nbf: claims.nbf?.value.timeIntervalSince1970, iat: claims.iat)
        let expires = try rules.end(of: times, now: now(), checksIssue: false)
        let passed = try rules.checkParties(
            iss: claims.iss, aud: claims.aud?.names, isAuths: origin == "auth")
        let lifetime = try rules.checkLifetime(of: times, now: now())
        let caller = CallerIdentity(
            user: try TokenRules.identity(claims.sub, "sub (user ID)"),
            device: try TokenRules.identity(claims.did, "did (device ID)"),
            roles: try TokenRules.roles(claims.roles?.names), issuer: claims.iss ?? "")
        for leniency in passed + [lifetime].compactMap(\.self) {
            observer?.count(leniency, issuer: origin)
        }
        return VerifiedCaller(identity: caller, expires: expires)
    }

    private func caller(
        of claims: IssuerClaims, _ issuer: IssuerSettings
    ) throws(TokenRejection) -> VerifiedCaller {
        let now = now()
        let times = try issuer.times(of: claims.all)
        let expires = try rules.end(of: times, now: now, checksIssue: true)
        let lifetime = try rules.checkLifetime(of: times, now: now)
        let identity = try issuer.identity(of: claims.all)
        if let lifetime { observer?.count(lifetime, issuer: issuer.name) }
        return VerifiedCaller(
            identity: identity, expires: expires, namesDeviceByHeader: issuer.device == .header)
    }
}

/// The claims that the gateway reads of the installation's own tokens. All are optional here, so
/// that a missing one can be named.
struct CallerClaims: JWTPayload {
    let sub: String?
    let did: String?
    let exp: ExpirationClaim?
    let nbf: NotBeforeClaim?
    /// Seconds since 1970: a number, as those of JWTKit's claims (RFC 7519 §2).
    let iat: Double?
    let iss: String?
    // Not JWTKit's claim: that one traps on a list without names.
    let aud: ClaimNames?
    let roles: ClaimNames?

    /// Times and parties are checked by `TokenRules`, by the gateway's clock and settings.
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

/// A token's header, read before anything is verified, to choose the key: an algorithm is only ever
/// tried with a key that was made for it.
struct TokenHeader: Decodable {
    let alg: String
    let kid: String?
    /// Names of extensions that a reader must understand; this one understands none (RFC 7515
    /// §4.1.11).
    let crit: [String]?

    init(_ token: String) throws(TokenRejection) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, token.utf8.allSatisfy(Self.isOfToken),
            let data = Data(base64URL: parts[0]),
            let header = try? JSONDecoder().decode(TokenHeader.self, from: data), header.crit == nil
        else { throw TokenRejection(.malformed) }
        self = header
    }

    /// Base64 for URLs without padding (RFC 7515 §2), and the points between the parts. JWTKit
    /// would take more.
    private static func isOfToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
            UInt8(ascii: "."):
            true
        default: false
        }
    }
}

extension Data {
    /// Base64 for URLs without padding (RFC 4648 §5).
    init?(base64URL text: Substring) {
        var standard = text.replacing("-", with: "+").replacing("_", with: "/")
        standard += String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        self.init(base64Encoded: String(standard))
    }
}
