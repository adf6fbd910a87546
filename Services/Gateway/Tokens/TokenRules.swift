import Foundation
import Model
import ServiceKit

/// What a token must say in addition to its signature. Rules, without a clock of their own.
struct TokenRules: Hashable, Sendable {
    /// Longest life of a token that is taken without a word, in seconds.
    static let standardLifetimeSeconds = 86_400
    /// Most roles of one token.
    static let maximumRoles = 64

    /// What the installation's own tokens must say; nil: Auth's say the default name, others
    /// anything.
    var issuer: String?
    var audience: String?
    var skewSeconds = 5
    /// Longest life of a token, in seconds; nil: `standardLifetimeSeconds` if strict, else any.
    var maximumLifetimeSeconds: Int?
    /// Whether what a later release rejects is rejected now.
    var isStrict = false

    /// A token's times, in seconds since 1970.
    struct Times: Hashable, Sendable {
        var exp: Double?
        var nbf: Double?
        var iat: Double?
    }

    /// - Parameter checksIssue: whether a token from the future is rejected. The installation's own
    ///   never were.
    /// - Returns: when the token ends, by the gateway's clock.
    func end(
        of times: Times, now: TimeInterval, checksIssue: Bool
    ) throws(TokenRejection) -> TimeInterval {
        guard let exp = times.exp else { throw TokenRejection(.claims, "missing exp in token") }
        let skew = TimeInterval(skewSeconds)
        guard now < exp + skew else { throw TokenRejection(.expired, "token is expired") }
        if let nbf = times.nbf, now < nbf - skew {
            throw TokenRejection(.early, "token is not valid yet")
        }
        if checksIssue, let iat = times.iat, now < iat - skew {
            throw TokenRejection(.early, "token was issued in the future")
        }
        return exp + skew
    }

    /// - Returns: what was let pass.
    func checkLifetime(
        of times: Times, now: TimeInterval
    ) throws(TokenRejection) -> TokenLeniency? {
        guard let exp = times.exp else { return nil }
        let lifetime = exp - min(times.iat ?? now, now)
        let longest = maximumLifetimeSeconds ?? Self.standardLifetimeSeconds
        // As with the other times, the clocks may differ.
        guard lifetime > TimeInterval(longest + skewSeconds) else { return nil }
        guard maximumLifetimeSeconds == nil, !isStrict else {
            throw TokenRejection(.lifetime, "token must not be good for longer than \(longest) s")
        }
        return .lifetime
    }

    /// Checks `iss` and `aud` of the installation's own tokens.
    ///
    /// - Parameter isAuths: whether Auth's key signed it. Auth always writes both.
    /// - Returns: what was let pass.
    func checkParties(
        iss: String?, aud: [String]?, isAuths: Bool
    ) throws(TokenRejection) -> [TokenLeniency] {
        var passed: [TokenLeniency] = []
        if let wanted = issuer ?? (isAuths ? TokenSettings.defaultName : nil), iss != wanted {
            guard iss == nil, issuer == nil, !isStrict else {
                throw TokenRejection(.issuer, "token has another issuer")
            }
            passed.append(.noIssuer)
        }
        if let wanted = audience ?? (isAuths ? TokenSettings.defaultName : nil),
            aud?.contains(wanted) != true
        {
            guard aud == nil, audience == nil, !isStrict else {
                throw TokenRejection(.audience, "token has another audience")
            }
            passed.append(.noAudience)
        }
        return passed
    }

    static func identity(
        _ text: String?, _ claim: String, prefix: String = ""
    ) throws(TokenRejection) -> String {
        guard let text, !text.isEmpty else {
            throw TokenRejection(.claims, "missing \(claim) in token")
        }
        let whole = prefix + text
        guard isIdentity(whole) else {
            throw TokenRejection(
                .claims,
                "\(claim) in token must have at most \(WireLimits.maximumIdentityBytes) bytes and "
                    + "no control characters")
        }
        return whole
    }

    static func roles(_ names: [String]?) throws(TokenRejection) -> [String] {
        guard let names else { return [] }
        guard names.count <= maximumRoles, names.allSatisfy(isRoleName) else {
            throw TokenRejection(
                .claims,
                "roles in token must be at most \(maximumRoles) names of letters, digits, . _ : "
                    + "and -"
            )
        }
        return names
    }
}
