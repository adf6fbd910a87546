import Crypto
import Foundation

/// The secret of a back end that asks for tokens. It is made by us and random, so a plain hash
/// keeps it: nobody finds 256 random bits by trying.
package struct ClientSecret: Sendable {
    private static let bytes = 32
    /// By which people and scanners of source code tell what it is.
    private static let prefix = "ovs_"

    package let text: String

    /// A new one.
    package init() {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<Self.bytes).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
        text =
            Self.prefix
            + Data(bytes).base64EncodedString().replacing("+", with: "-")
            .replacing("/", with: "_").replacing("=", with: "")
    }

    /// What the file of clients keeps of it.
    package var hash: String { Self.hash(of: text) }

    /// SHA-256 in hexadecimal.
    package static func hash(of text: String) -> String {
        SHA256.hash(data: Data(text.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// Whether two hashes are equal, in the same time no matter where they differ.
    package static func isEqual(_ a: String, _ b: String) -> Bool {
        guard a.utf8.count == b.utf8.count else { return false }
        return zip(a.utf8, b.utf8).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Names of back ends that ask for tokens: letters, digits, `.`, `_` and `-`, at most 63.
package func isClientID(_ text: String) -> Bool {
    (1...63).contains(text.utf8.count)
        && text.utf8.allSatisfy { byte in
            byte &- UInt8(ascii: "0") < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 26
                || "._-".utf8.contains(byte)
        }
}
