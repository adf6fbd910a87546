/// Somebody else who issues tokens, as `OVERSYNC_ISSUERS` describes it.
struct IssuerSettings: Hashable, Sendable {
    /// Where its keys are.
    enum Keys: Hashable, Sendable {
        /// - Parameter authority: path of the certificate (PEM) that its TLS certificate is checked
        ///   by; nil: the system's.
        case url(String, authority: String?)
        case file(String)
    }

    /// What names the device.
    enum Device: Hashable, Sendable {
        case claim(ClaimPath)
        /// The request's header `Oversync-Device`: the device is bound to its first user.
        case header
    }

    /// In log lines and metrics.
    var name: String
    /// The tokens' `iss`.
    var issuer: String
    var keys: Keys
    /// One of them is among the tokens' `aud`.
    var audience: Set<String>
    var algorithms: Set<TokenAlgorithm>
    var user: ClaimPath
    /// Goes before the claim: no other issuer's users begin with it.
    var userPrefix: String
    /// Issuers with the same prefix name the same people by the same ids.
    var sharesUsers: Bool
    var device: Device
    /// Nil: its tokens have no roles.
    var roles: ClaimPath?
    /// The roles that are taken over; nil: all but ``withheldRole``.
    var knownRoles: Set<String>?
    var refreshSeconds: Int
    /// The administrators' role: an issuer's administrators are not those of Oversync, unless it is
    /// named.
    var withheldRole: String?
}
