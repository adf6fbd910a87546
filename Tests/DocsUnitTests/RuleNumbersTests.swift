import Foundation
import Testing

/// The numbers by which code, tests and pages cite what they rest on.
struct RuleNumbersTests {
    /// Where all of them are defined.
    private static let page = "Docs/protocol/rules.md"
    /// The kinds of files that cite: not generated ones, which say nothing of their own.
    private static let kinds: Set = ["swift", "md", "sql", "proto", "c", "yaml", "sh", ""]

    @Test func `each number is defined once, and none is left out`() throws {
        let defined = try Self.defined()
        #expect(Set(defined).count == defined.count)
        let expected = [("P", 8), ("V", 12), ("D", 5), ("S", 21), ("C", 17), ("H", 17)]
            .flatMap { letter, count in (1...count).map { "\(letter)\($0)" } }
        #expect(defined == expected)
    }

    @Test func `every number that is cited anywhere is defined`() throws {
        let defined = Set(try Self.defined())
        var cited: Set<String> = []
        for (path, text) in try Repository.texts(ofKinds: Self.kinds) where path != Self.page {
            let numbers = Set(text.matches(of: /\b[PVDSCH][0-9]{1,2}\b/).map { String($0.output) })
            cited.formUnion(numbers)
            #expect(numbers.isSubset(of: defined), "\(path): \(numbers.subtracting(defined))")
        }
        // That they were looked for where they are.
        #expect(cited.isSuperset(of: ["P3", "V11", "D4", "S20", "C17", "H16"]))
    }

    /// The numbers at the beginning of the tables' lines.
    private static func defined() throws -> [String] {
        try Repository.text(of: page).matches(of: /(?m)^\| ([PVDSCH][0-9]+) \| \S/)
            .map { String($0.output.1) }
    }
}
