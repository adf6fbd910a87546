import SeededRandom
import Testing

@testable import Soak

@Suite("What counts as flat in a soak")
struct FlatRuleTests {
    private let rule = FlatRule(allowance: 8)

    @Test("Growth while it warms up does not count, and neither do peaks")
    func warmUp() throws {
        let samples = Array(0..<20).map { $0 * 50 } + Array(repeating: 1000, count: 40)
        let verdict = try #require(rule.judge(samples + [9000, 9000, 9000]))
        #expect(verdict == FlatRule.Verdict(middle: 1000, last: 1000, isFlat: true))
    }

    @Test("Growth by a tenth and the allowance is flat, and more is not")
    func bounds() throws {
        for (last, isFlat) in [(1108, true), (1109, false)] {
            let samples = Array(repeating: 1000, count: 40) + Array(repeating: last, count: 20)
            #expect(try #require(rule.judge(samples)).isFlat == isFlat)
        }
    }

    @Test("A leak grows from third to third, however slow it began")
    func leak() throws {
        let verdict = try #require(rule.judge((0..<300).map { 1000 + $0 * 2 }))
        #expect(!verdict.isFlat)
    }

    @Test("Few samples give no verdict")
    func few() {
        #expect(rule.judge(Array(repeating: 1, count: FlatRule.fewestSamples - 1)) == nil)
    }

    @Test("Rough weather has every fate, the same for the same seed")
    func fates() {
        var (one, other) = (SeededGenerator(seed: 3), SeededGenerator(seed: 3))
        let fates = (0..<200).map { _ in RoughNetwork.Fate.random(using: &one) }
        #expect(fates == (0..<200).map { _ in RoughNetwork.Fate.random(using: &other) })
        #expect(Set(fates.map(\.name)).count == 5)
    }
}
