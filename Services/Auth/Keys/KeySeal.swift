import Crypto
import Foundation

/// Seals private keys for the database (AES-256-GCM), so that a copy of it signs nothing.
struct KeySeal: Sendable {
    /// Shortest master key, in bytes.
    static let minimumMasterKeyBytes = 32

    private let key: SymmetricKey

    /// - Parameter masterKey: a secret of the Auth service, of at least `minimumMasterKeyBytes`.
    init(masterKey: String) {
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: Data(masterKey.utf8)),
            info: Data("oversync signing keys".utf8),
            outputByteCount: 32)
    }

    /// The sealed key belongs to its `kid`: under another name it does not open.
    func seal(_ signingKey: SigningKey) throws -> [UInt8] {
        let box = try AES.GCM.seal(
            signingKey.privateKey.rawRepresentation, using: key,
            authenticating: Data(signingKey.kid.utf8))
        guard let combined = box.combined else { throw SealBroken(kid: signingKey.kid) }
        return Array(combined)
    }

    func open(_ sealed: [UInt8], kid: String) throws -> P256.Signing.PrivateKey {
        do {
            let box = try AES.GCM.SealedBox(combined: sealed)
            let raw = try AES.GCM.open(box, using: key, authenticating: Data(kid.utf8))
            return try P256.Signing.PrivateKey(rawRepresentation: raw)
        } catch {
            throw SealBroken(kid: kid)
        }
    }
}

/// A stored key that this service's master key does not open.
struct SealBroken: Error, CustomStringConvertible {
    let kid: String

    var description: String {
        "signing key \(kid) was sealed with another OVERSYNC_AUTH_MASTER_KEY; set that one, or remove the key"
    }
}
