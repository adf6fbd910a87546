import Foundation
import Testing

/// The pages that name a test for everything they say are complete, and name tests that are there.
struct NamedTestsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let hazards =
        (1...21).map { "S\($0)" } + (1...17).map { "C\($0)" } + (1...17).map { "H\($0)" }

    @Test func `every hazard has one line, with tests that exist and carry its number`() throws {
        let lines = try Self.table(in: "Docs/hazards.md")
        #expect(lines.map(\.first) == Self.hazards)
        try expectTests(lines)
        for line in lines {
            for test in Self.tests(of: line) {
                #expect(Self.numbers(of: test).contains(line[0]), "\(line[0]): \(test)")
            }
        }
    }

    @Test func `every invariant has a number, and a test that exists`() throws {
        let lines = try Self.table(in: "Docs/protocol/invariants.md").filter { $0.first != "" }
        #expect(lines.map(\.first) == lines.indices.map { "I\($0 + 1)" })
        #expect(lines.count >= 20)
        try expectTests(lines)
    }

    @Test func `every rule of the device has a number, and a test that exists`() throws {
        let lines = try Self.table(in: "Docs/device.md").filter {
            $0.last != "" && $0[0].wholeMatch(of: /R[0-9]+/) != nil
        }
        #expect(lines.map(\.first) == lines.indices.map { "R\($0 + 1)" })
        #expect(lines.count >= 40)
        try expectTests(lines)
    }

    @Test func `every shape of a schema, and every wait of an upload, has a test that exists`()
        throws
    {
        let lines = try Self.table(in: "Docs/schemas.md").filter { line in
            line.last != "test" && line.first?.hasPrefix("---") == false
        }
        #expect(lines.count >= 20)
        try expectTests(lines)
    }

    @Test func `every promise of security, and every line of OWASP's list, has a test that exists`()
        throws
    {
        let lines = try Self.table(in: "Docs/security.md")
        let promises = lines.filter { $0[0].wholeMatch(of: /T[0-9]+/) != nil }
        #expect(promises.map(\.first) == promises.indices.map { "T\($0 + 1)" })
        #expect(promises.count >= 14)
        let risks = lines.filter { $0[0].hasPrefix("API") }
        #expect(
            risks.map { $0[0].prefix { $0 != " " } } == (1...10).map { "API\($0):2023" })
        try expectTests(promises + risks)
    }

    private func expectTests(_ lines: [[String]]) throws {
        let sources = try Self.testSources()
        for line in lines {
            let tests = Self.tests(of: line)
            #expect(line.count == 3 && !tests.isEmpty, "\(line)")
            for test in tests { #expect(!test.isEmpty && sources.contains(test), "\(line)") }
        }
    }

    /// The tests that a line names: one, or several on lines of their own.
    private static func tests(of line: [String]) -> [String] {
        line.last?.components(separatedBy: "<br>") ?? []
    }

    /// The numbers that a test's name begins with: `S14, H15: …`.
    private static func numbers(of test: String) -> [String] {
        guard let list = test.prefixMatch(of: /[A-Z][0-9]+(?:,? [A-Z][0-9]+)*:/) else {
            return []
        }
        return list.output.matches(of: /[A-Z][0-9]+/).map { String($0.output) }
    }

    /// The cells of a page's table, without its heading.
    private static func table(in page: String) throws -> [[String]] {
        let text = try String(contentsOf: root.appending(path: page), encoding: .utf8)
        return text.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2).map { line in
            line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast()
                .map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    /// All tests as one text, without this one, which would find what it looks for in itself.
    private static func testSources() throws -> String {
        let folder = root.appending(path: "Tests")
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        var text = ""
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift", file.lastPathComponent != "NamedTestsTests.swift"
            else { continue }
            text += try String(contentsOf: file, encoding: .utf8)
        }
        return text
    }
}
