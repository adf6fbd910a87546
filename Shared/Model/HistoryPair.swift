/// One change of a user's log, by its sequence and the tag of its content.
///
/// Restores and failovers keep a prefix of each log, so a pair that is still there proves
/// everything before it.
package struct HistoryPair: Hashable, Sendable {
    /// From 1.
    package let sequence: Sequence64
    /// The first 8 bytes of a hash of the change.
    package let tag: UInt64

    /// Characters of a tag in text.
    private static let tagDigits = 16

    package init(sequence: Sequence64, tag: UInt64) {
        self.sequence = sequence
        self.tag = tag
    }

    /// Reads the value of the header `Oversync-History`: `<sequence>-<16 hexadecimal digits>`.
    package init?(text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = parts.first, let digits = parts.last,
            number.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let sequence = Int64(number), sequence > 0,
            digits.utf8.count == Self.tagDigits,
            digits.utf8.allSatisfy({ $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 6 }),
            let tag = UInt64(digits, radix: 16)
        else { return nil }
        self.init(sequence: sequence, tag: tag)
    }

    /// The value of the header.
    package var text: String {
        let digits = String(tag, radix: 16)
        let zeros = String(repeating: "0", count: Self.tagDigits - digits.utf8.count)
        return "\(sequence)-\(zeros)\(digits)"
    }
}
