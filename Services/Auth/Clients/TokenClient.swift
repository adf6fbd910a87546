import Crypto
import Foundation
import Model
import Telemetry
import Tokens

/// A back end that may ask for tokens, and for which ones.
struct TokenClient: Sendable {
    /// Hashes of secrets that are good at once: two, while one replaces the other.
    static let maximumSecrets = 2

    let id: String
    /// SHA-256 in hexadecimal.
    let secretHashes: [String]
    /// One of the names of a certificate that stands for a secret.
    let certificates: Set<String>
    let users: [NamePattern]
    let devices: [NamePattern]
    let roles: Set<String>
    /// In seconds.
    let maximumLifetime: Int

    /// Takes the same time for a good secret and for a bad one.
    ///
    /// - Parameter hash: of the secret that was sent.
    func accepts(_ hash: String) -> Bool {
        var isGood = false
        for index in 0..<Self.maximumSecrets {
            let isThere = index < secretHashes.count
            let known = isThere ? secretHashes[index] : Self.nobodysHash
            let isEqual = ClientSecret.isEqual(hash, known)
            isGood = isGood || (isEqual && isThere)
        }
        return isGood
    }

    /// - Parameter names: of a certificate that was verified.
    func accepts(certificate names: [String]) -> Bool {
        names.contains(where: certificates.contains)
    }

    /// Bytes of a digest that are shown.
    private static let digestBytes = 8

    /// Differs whenever anything of the client does.
    func digest(by key: String) -> String {
        let parts: [[String]] = [
            [id], secretHashes, certificates.sorted(), users.map(\.text), devices.map(\.text),
            roles.sorted(), ["\(maximumLifetime)"],
        ]
        // Each text with its length, so that no two lists look alike.
        let text = parts.map { part in
            "\(part.count):" + part.map { "\($0.utf8.count):\($0)" }.joined()
        }.joined()
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(text.utf8), using: SymmetricKey(data: Data("clients \(key)".utf8)))
        return hexadecimal(Array(code).prefix(Self.digestBytes))
    }

    /// Of no secret that anybody has.
    private static let nobodysHash = String(repeating: "0", count: 64)

    /// Stands for a client that is not known, so that its refusal takes as long.
    static let unknown = TokenClient(
        id: "", secretHashes: [], certificates: [], users: [], devices: [], roles: [],
        maximumLifetime: 0)
}

/// Names as the file of clients has them: `*` stands for any text, everything else for itself, byte
/// for byte.
struct NamePattern: Hashable, Sendable {
    let text: String
    private let parts: [[UInt8]]

    init(_ text: String) {
        self.text = text
        parts = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
            .map(Array.init)
    }

    func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        guard let first = parts.first, let last = parts.last, parts.count > 1 else {
            return parts.first == name
        }
        guard name.count >= first.count + last.count, name.starts(with: first),
            name.suffix(last.count).elementsEqual(last)
        else { return false }
        // Each further part at its first place after the one before it.
        var rest = name[first.count..<(name.count - last.count)]
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let place = rest.indices.first(where: { rest[$0...].starts(with: part) }) else {
                return false
            }
            rest = rest[(place + part.count)...]
        }
        return true
    }
}
