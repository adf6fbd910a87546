import Foundation
import JWTKit

/// The claims of a device's access token.
package struct DeviceClaims: JWTPayload, Sendable {
    /// The user.
    package let sub: String
    /// The device.
    package let did: String
    package let exp: Int
    package let iat: Int
    package let nbf: Int
    package let iss: String?
    package let aud: String?
    /// What the bearer is in addition to a user, such as `admin`; nil for none.
    package let roles: [String]?

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - lifetime: seconds.
    package init(
        user: String, device: String, roles: [String] = [], issuer: String?, audience: String?,
        now: Int, lifetime: Int
    ) {
        sub = user
        did = device
        exp = now + lifetime
        iat = now
        nbf = now
        iss = issuer
        aud = audience
        self.roles = roles.isEmpty ? nil : roles
    }

    /// The reader of a token checks its times, issuer and audience by its own settings.
    package func verify(using algorithm: some JWTAlgorithm) async throws {}
}

/// Writes tokens.
package struct TokenMint: Sendable {
    /// Longest life of a token: a stolen one must end by itself.
    package static let maximumLifetimeSeconds = 86_400

    private let keys: JWTKeyCollection
    private let kid: JWKIdentifier?

    /// Signs with a key that verifiers find by `kid` in the published set.
    package init(es256 key: ES256PrivateKey, kid: String) async {
        let identifier = JWKIdentifier(string: kid)
        keys = await JWTKeyCollection().add(ecdsa: key, kid: identifier)
        self.kid = identifier
    }

    /// Signs with a secret that the gateway shares, as existing clients' back ends do.
    package init(hs256 secret: String) async {
        keys = await JWTKeyCollection().add(
            hmac: HMACKey(sharedSecret: secret), digestAlgorithm: .sha256)
        kid = nil
    }

    package func sign(_ claims: DeviceClaims) async throws -> String {
        try await keys.sign(claims, kid: kid)
    }
}
