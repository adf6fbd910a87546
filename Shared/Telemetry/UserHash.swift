import Crypto
import WireJSON

/// A short, stable stand-in for a user's id in logs: enough to follow one user, not to name them.
package func userHash(_ user: String) -> String { shortHash(user) }

/// Tells one text from another.
package func shortHash(_ text: String) -> String {
    var text = text
    let hash = text.withUTF8 { SHA256.hash(data: UnsafeRawBufferPointer($0)) }
    return hexadecimal(Array(hash.prefix(hashedBytes)))
}

/// Two digits for each byte, lower case.
package func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
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
