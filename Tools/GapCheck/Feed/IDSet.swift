/// A set of numbers that count up from 1, one bit each.
package struct IDSet: Hashable, Sendable {
    /// Beyond that a number is no count.
    static let maximum: Int64 = 1 << 30

    private var words: [UInt64] = []
    package private(set) var count = 0

    package init() {}

    /// - Returns: whether it was not there; false also for a number that cannot be.
    @discardableResult
    package mutating func insert(_ id: Int64) -> Bool {
        guard (1...Self.maximum).contains(id) else { return false }
        let word = Int(id >> 6)
        if word >= words.count {
            words.append(contentsOf: repeatElement(0, count: word + 1 - words.count))
        }
        let bit: UInt64 = 1 << UInt64(id & 63)
        guard words[word] & bit == 0 else { return false }
        words[word] |= bit
        count += 1
        return true
    }

    package func contains(_ id: Int64) -> Bool {
        let word = Int(id >> 6)
        return id > 0 && word < words.count && words[word] & 1 << UInt64(id & 63) != 0
    }

    /// The first number that is here and not there.
    package func first(notIn other: IDSet) -> Int64? {
        for (index, word) in words.enumerated() {
            let rest = word & ~(index < other.words.count ? other.words[index] : 0)
            if rest != 0 { return Int64(index << 6 + rest.trailingZeroBitCount) }
        }
        return nil
    }
}
