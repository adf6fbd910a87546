import Crypto
import WireJSON

/// A short, stable stand-in for a user's id in logs: enough to follow one user, not to name them.
package func userHash(_ user: String) -> String {
    var user = user
    let hash = user.withUTF8 { SHA256.hash(data: UnsafeRawBufferPointer($0)) }
    return String(unsafeUninitializedCapacity: 2 * hashedBytes) { text in
        for (index, byte) in hash.prefix(hashedBytes).enumerated() {
            text[2 * index] = lowerHexDigit(byte >> 4)
            text[2 * index + 1] = lowerHexDigit(byte & 0xF)
        }
        return 2 * hashedBytes
    }
}

/// Bytes of the hash that are kept.
private let hashedBytes = 6
