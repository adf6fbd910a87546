import Crypto
import Foundation

/// Seals private keys for the database (AES-256-GCM), so that a copy of it signs nothing.
package struct KeySeal: Sendable {
    private let key: SymmetricKey

    /// - Parameter masterKey: a secret of the Auth service.
    package init(masterKey: String) {
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: Data(masterKey.utf8)),
            info: Data("oversync signing keys".utf8),
            outputByteCount: 32)
    }

    /// The sealed key belongs to its `kid`: under another name it does not open.
    package func seal(_ signingKey: SigningKey) throws -> [UInt8] {
        let box = try AES.GCM.seal(
            signingKey.privateKey.rawRepresentation, using: key,
            authenticating: Data(signingKey.kid.utf8))
        guard let combined = box.combined else { throw SealBroken(kid: signingKey.kid) }
        return Array(combined)
    }

    package func open(_ sealed: [UInt8], kid: String) throws(SealBroken) -> P256.Signing.PrivateKey
    {
        do {
            let box = try AES.GCM.SealedBox(combined: sealed)
            let raw = try AES.GCM.open(box, using: key, authenticating: Data(kid.utf8))
            return try P256.Signing.PrivateKey(rawRepresentation: raw)
        } catch {
            throw SealBroken(kid: kid)
        }
    }
}

/// The master keys that are in use: while one replaces another, both open what is sealed.
package struct KeySeals: Sendable {
    package let current: KeySeal
    /// The one before, as long as keys may be sealed with it.
    package let previous: KeySeal?

    package init(current: String, previous: String? = nil) {
        self.current = KeySeal(masterKey: current)
        self.previous = previous.map(KeySeal.init)
    }

    /// Which of them opens a key, and the key.
    package func open(
        _ sealed: [UInt8], kid: String
    ) throws(SealBroken) -> (key: P256.Signing.PrivateKey, seal: KeySeal, isCurrent: Bool) {
        do throws(SealBroken) {
            return (try current.open(sealed, kid: kid), current, true)
        } catch {
            guard let previous else { throw error }
            return (try previous.open(sealed, kid: kid), previous, false)
        }
    }
}

/// A stored key that no master key of this process opens.
package struct SealBroken: Error, CustomStringConvertible {
    package let kid: String

    package var description: String {
        "signing key \(kid) was sealed with another OVERSYNC_AUTH_MASTER_KEY; set that one, "
            + "as OVERSYNC_AUTH_MASTER_KEY_PREVIOUS if it is being replaced, or remove the key"
    }
}
