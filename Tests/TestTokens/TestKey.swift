import Crypto
import CryptoExtras
import Foundation

/// A key of an issuer, and what signs with it: made of cryptography alone, so that what checks
/// tokens is held against something other than itself.
package struct TestKey: Sendable {
    /// The algorithms that issuers may use.
    package static let algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]

    package let kid: String?
    package let algorithm: String
    /// The public half, as a JSON Web Key.
    package var web: [String: any Sendable]
    private let sign: @Sendable (Data) throws -> Data

    /// A new key.
    package init(_ algorithm: String, kid: String?) throws {
        self.kid = kid
        self.algorithm = algorithm
        switch algorithm {
        case "RS256", "PS256":
            let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            let parts = try key.publicKey.getKeyPrimitives()
            web = [
                "kty": "RSA", "n": parts.modulus.base64URL, "e": parts.publicExponent.base64URL,
            ]
            let padding: _RSA.Signing.Padding =
                algorithm == "RS256" ? .insecurePKCS1v1_5 : .PSS
            sign = { data in
                try key.signature(for: SHA256.hash(data: data), padding: padding).rawRepresentation
            }
        case "ES256":
            let key = P256.Signing.PrivateKey()
            web = Self.point("P-256", key.publicKey.rawRepresentation)
            sign = { try key.signature(for: $0).rawRepresentation }
        case "ES384":
            let key = P384.Signing.PrivateKey()
            web = Self.point("P-384", key.publicKey.rawRepresentation)
            sign = { try key.signature(for: $0).rawRepresentation }
        case "EdDSA":
            let key = Curve25519.Signing.PrivateKey()
            web = [
                "kty": "OKP", "crv": "Ed25519", "x": key.publicKey.rawRepresentation.base64URL,
            ]
            sign = { try key.signature(for: $0) }
        default: throw UnknownAlgorithm(name: algorithm)
        }
        if let kid { web["kid"] = kid }
    }

    /// What a `TestKey` cannot be made for.
    package struct UnknownAlgorithm: Error { package let name: String }

    private static func point(_ curve: String, _ raw: Data) -> [String: any Sendable] {
        [
            "kty": "EC", "crv": curve, "x": raw.prefix(raw.count / 2).base64URL,
            "y": raw.suffix(raw.count / 2).base64URL,
        ]
    }

    /// A signed token.
    ///
    /// - Parameter header: replaces members of the usual header.
    package func token(
        _ claims: [String: any Sendable], header: [String: any Sendable] = [:]
    ) throws -> String {
        var whole: [String: any Sendable] = ["alg": algorithm, "typ": "JWT"]
        if let kid { whole["kid"] = kid }
        whole.merge(header) { $1 }
        let signed = try [whole, claims].map {
            try JSONSerialization.data(withJSONObject: $0).base64URL
        }.joined(separator: ".")
        return signed + "." + (try sign(Data(signed.utf8))).base64URL
    }

    /// The set that these keys are published in.
    package static func set(_ keys: [TestKey]) throws -> String {
        let data = try JSONSerialization.data(
            withJSONObject: ["keys": keys.map(\.web)], options: .sortedKeys)
        return String(decoding: data, as: UTF8.self)
    }
}

/// A token that a shared secret signs, of any header.
package func hmacToken(
    _ claims: [String: any Sendable], secret: Data, header: [String: any Sendable] = [:]
) throws -> String {
    let whole = ["alg": "HS256", "typ": "JWT"].merging(header) { $1 }
    let signed = try [whole, claims].map {
        try JSONSerialization.data(withJSONObject: $0).base64URL
    }.joined(separator: ".")
    let code = HMAC<SHA256>.authenticationCode(
        for: Data(signed.utf8), using: SymmetricKey(data: secret))
    return signed + "." + Data(code).base64URL
}

extension Data {
    /// Base64 for URLs without padding (RFC 4648 §5).
    package var base64URL: String {
        base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
    }
}
