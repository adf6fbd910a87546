import Crypto
import Foundation
import JWTKit
import WireJSON

/// A key pair that signs tokens (ES256), known to verifiers by its `kid`.
struct SigningKey: Sendable {
    let kid: String
    let privateKey: P256.Signing.PrivateKey
    /// Signs from then on.
    let activeFrom: Date

    /// A new key. Its name is the first half of its public key's SHA-256, so that no two keys share one.
    init(activeFrom: Date) {
        let key = P256.Signing.PrivateKey()
        let digest = SHA256.hash(data: key.publicKey.x963Representation)
        kid = Data(digest.prefix(16)).base64URL
        privateKey = key
        self.activeFrom = activeFrom
    }

    init(kid: String, privateKey: P256.Signing.PrivateKey, activeFrom: Date) {
        self.kid = kid
        self.privateKey = privateKey
        self.activeFrom = activeFrom
    }

    /// The public half as a JSON Web Key (RFC 7517, RFC 7518 §6.2).
    var publicJWK: JSONDocument {
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
