import Model
import RPC

// What an issuer's settings make of the claims of its tokens, once they are verified.

extension IssuerSettings {
    /// The algorithm of a token's header, if the issuer may use it.
    func algorithm(_ header: TokenHeader) -> TokenAlgorithm? {
        TokenAlgorithm(rawValue: header.alg).flatMap { algorithms.contains($0) ? $0 : nil }
    }

    func times(of claims: ClaimValue) throws(TokenRejection) -> TokenRules.Times {
        TokenRules.Times(
            exp: try Self.seconds(claims["exp"], "exp"),
            nbf: try Self.seconds(claims["nbf"], "nbf"),
            iat: try Self.seconds(claims["iat"], "iat"))
    }

    /// The user, the roles, and the device where a claim names it; else the device is empty.
    func identity(of claims: ClaimValue) throws(TokenRejection) -> CallerIdentity {
        guard claims["iss"]?.text == issuer else {
            throw TokenRejection(.issuer, "token has another issuer")
        }
        guard let names = claims["aud"]?.texts, !audience.isDisjoint(with: names) else {
            throw TokenRejection(.audience, "token has another audience")
        }
        let user = try TokenRules.identity(
            claims[user]?.text, "\(self.user) (user ID)", prefix: userPrefix)
        let device: String =
            switch device {
            case .claim(let path):
                try TokenRules.identity(claims[path]?.text, "\(path) (device ID)")
            case .header: ""
            }
        return CallerIdentity(
            user: user, device: device, roles: try roles(of: claims), issuer: issuer)
    }

    /// Issuers have roles for other purposes too: those that `oversync.yaml` could not name, and
    /// those that are not taken over, are left out.
    private func roles(of claims: ClaimValue) throws(TokenRejection) -> [String] {
        guard let roles, let value = claims[roles] else { return [] }
        guard let names = value.texts else {
            throw TokenRejection(.claims, "\(roles) in token must be a name or a list of names")
        }
        return try TokenRules.roles(
            names.filter { isRoleName($0) && knownRoles?.contains($0) ?? ($0 != withheldRole) })
    }

    private static func seconds(
        _ value: ClaimValue?, _ claim: String
    ) throws(TokenRejection) -> Double? {
        guard let value else { return nil }
        guard let number = value.number else {
            throw TokenRejection(.claims, "\(claim) in token must be a number of seconds")
        }
        return number
    }
}

extension ClaimPath: CustomStringConvertible {
    var description: String { levels.joined(separator: ".") }
}
