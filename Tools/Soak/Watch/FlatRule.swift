/// When memory or descriptors count as flat.
///
/// Of the samples the first third is the warm-up: pools fill, caches and the allocator find their
/// size. The median of the last third must not be above that of the middle third by more than a
/// tenth and an allowance.
package struct FlatRule: Sendable {
    /// The tenth.
    package static let growth = 0.1
    /// Fewer samples say nothing.
    package static let fewestSamples = 12

    /// Beyond the tenth, in the unit of the samples.
    package let allowance: Int

    package static let memory = FlatRule(allowance: 8 << 20)
    package static let descriptors = FlatRule(allowance: 32)

    package struct Verdict: Hashable, Sendable {
        package let middle: Int
        package let last: Int
        package let isFlat: Bool
    }

    /// - Returns: nil if there are too few samples.
    package func judge(_ samples: [Int]) -> Verdict? {
        guard samples.count >= Self.fewestSamples else { return nil }
        let third = samples.count / 3
        let middle = Self.median(samples[third..<2 * third])
        let last = Self.median(samples[(2 * third)...])
        let most = Double(middle) * (1 + Self.growth) + Double(allowance)
        return Verdict(middle: middle, last: last, isFlat: Double(last) <= most)
    }

    private static func median(_ samples: ArraySlice<Int>) -> Int {
        samples.sorted()[samples.count / 2]
    }
}
