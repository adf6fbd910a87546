import Crypto
import Foundation
import WireJSON

/// A key pair that signs tokens (ES256), known to verifiers by its `kid`.
package struct SigningKey: Sendable {
    package let kid: String
    package let privateKey: P256.Signing.PrivateKey

    /// A new key. Its name is the first half of its public key's SHA-256, so that no two keys share
    /// one. It does not begin like an option of a command.
    package init() {
        var key = P256.Signing.PrivateKey()
        while Self.name(of: key).hasPrefix("-") { key = P256.Signing.PrivateKey() }
        kid = Self.name(of: key)
        privateKey = key
    }

    private static func name(of key: P256.Signing.PrivateKey) -> String {
        Data(SHA256.hash(data: key.publicKey.x963Representation).prefix(16)).base64URL
    }

    package init(kid: String, privateKey: P256.Signing.PrivateKey) {
        self.kid = kid
        self.privateKey = privateKey
    }

    /// The public half as a JSON Web Key (RFC 7517, RFC 7518 §6.2).
    package var publicJWK: JSONDocument {
        let point = privateKey.publicKey.rawRepresentation
        return [
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": .string(kid),
            "x": .string(point.prefix(32).base64URL), "y": .string(point.suffix(32).base64URL),
        ]
    }
}

extension Data {
    /// Base64 for URLs without padding (RFC 4648 §5).
    fileprivate var base64URL: String {
        String(
            base64EncodedString().compactMap { character in
                switch character {
                case "+": "-"
                case "/": "_"
                case "=": nil
                default: character
                }
            })
    }
}
