import Crypto
import Synchronization
import WireJSON

/// A short, stable stand-in for a user's id in logs: enough to follow one user, not to name them.
///
/// Keyed with the process's ``LogSecret``. Without one, a list of users is enough to reverse
/// a hash.
package func userHash(_ user: String) -> String { LogSecret.process.hash(user) }

/// What keys the hashes of users in logs. All processes of an installation have the same, so that
/// one user has one hash in all logs.
package final class LogSecret: Sendable {
    /// This process's, set before it logs any user.
    package static let process = LogSecret()

    private let key = Mutex<SymmetricKey?>(nil)

    /// - Parameter secret: nil: hashes are not keyed.
    package init(_ secret: String? = nil) { use(secret) }

    package func use(_ secret: String?) {
        let fresh = secret.map { SymmetricKey(data: SHA256.hash(data: Array($0.utf8))) }
        key.withLock { $0 = fresh }
    }

    package func hash(_ user: String) -> String {
        guard let key = key.withLock({ $0 }) else { return shortHash(user) }
        var user = user
        let code = user.withUTF8 {
            HMAC<SHA256>.authenticationCode(for: UnsafeRawBufferPointer($0), using: key)
        }
        return hexadecimal(Array(code.prefix(hashedBytes))[...])
    }
}

/// Tells one text from another.
package func shortHash(_ text: String) -> String {
    var text = text
    let hash = text.withUTF8 { SHA256.hash(data: UnsafeRawBufferPointer($0)) }
    return hexadecimal(Array(hash.prefix(hashedBytes))[...])
}

/// Two digits for each byte, lower case.
package func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String {
    String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
        for (index, byte) in bytes.enumerated() {
            text[2 * index] = lowerHexDigit(byte >> 4)
            text[2 * index + 1] = lowerHexDigit(byte & 0xF)
        }
        return 2 * bytes.count
    }
}

/// Bytes of the hash that are kept.
private let hashedBytes = 6
