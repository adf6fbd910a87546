import Foundation
import Testing

/// The pages that name a test for everything they say are complete, and name tests that are there.
struct NamedTestsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let hazards =
        (1...21).map { "S\($0)" } + (1...17).map { "C\($0)" } + (1...17).map { "H\($0)" }

    @Test func `every hazard has one line, with a test that exists`() throws {
        let lines = try Self.table(in: "Docs/hazards.md")
        #expect(lines.map(\.first) == Self.hazards)
        try expectTests(lines)
    }

    @Test func `every invariant has a number, and a test that exists`() throws {
        let lines = try Self.table(in: "Docs/protocol/invariants.md").filter { $0.first != "" }
        #expect(lines.map(\.first) == lines.indices.map { "I\($0 + 1)" })
        #expect(lines.count >= 20)
        try expectTests(lines)
    }

    @Test func `every rule of the device has a number, and a test that exists`() throws {
        let lines = try Self.table(in: "Docs/device.md").filter {
            $0.last != "" && $0[0].hasPrefix("R")
        }
        #expect(lines.map(\.first) == lines.indices.map { "R\($0 + 1)" })
        #expect(lines.count >= 40)
        try expectTests(lines)
    }

    private func expectTests(_ lines: [[String]]) throws {
        let sources = try Self.testSources()
        for line in lines {
            let test = try #require(line.last)
            #expect(line.count == 3 && !test.isEmpty && sources.contains(test), "\(line)")
        }
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
