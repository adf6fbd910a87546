import Crypto
import Foundation

/// One digest over all rows of a table. Equal rows give equal digests in every database.
struct TableDigest: Hashable, Sendable {
    private(set) var rows = 0
    private(set) var hex = ""

    /// - Parameter rows: in the order of their keys; nil is NULL.
    init(_ rows: some Sequence<[String?]>) {
        var hasher = SHA256()
        for row in rows {
            self.rows += 1
            for value in row {
                // Length first: no two rows can run into each other.
                hasher.update(
                    data: Data((value.map { "\($0.utf8.count):\($0)" } ?? "null").utf8 + [0x1F]))
            }
            hasher.update(data: [0x1E])
        }
        hex = hasher.finalize().prefix(12).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}
