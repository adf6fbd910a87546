import Foundation
import Testing

/// `Docs/hazards.md` is complete and names tests that are there.
struct HazardsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let hazards =
        (1...21).map { "S\($0)" } + (1...17).map { "C\($0)" } + (1...17).map { "H\($0)" }
    private static let open = "open"

    @Test func `every hazard has one line, with a test that exists or the word open`() throws {
        let text = try String(
            contentsOf: Self.root.appending(path: "Docs/hazards.md"), encoding: .utf8)
        let lines = text.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2).map {
            line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        #expect(lines.map(\.first) == Self.hazards)
        let sources = try Self.testSources()
        for line in lines {
            let test = try #require(line.last)
            #expect(line.count == 3 && (test == Self.open || sources.contains(test)), "\(line)")
        }
    }

    /// All tests as one text, without this one, which would find what it looks for in itself.
    private static func testSources() throws -> String {
        let folder = root.appending(path: "Tests")
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        var text = ""
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift", file.lastPathComponent != "HazardsTests.swift"
            else { continue }
            text += try String(contentsOf: file, encoding: .utf8)
        }
        return text
    }
}
