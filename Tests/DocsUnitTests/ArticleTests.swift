import Foundation
import Testing

/// The documentation of the SDK: its code is code that was compiled, and it names every public type.
struct ArticleTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    private static let catalogues = ["OverSQLite", "OverSQLiteTestSupport"]
    private static let snippets = root.appending(path: "Tests/OverSQLiteDocsUnitTests")

    @Test func `all Swift code in the articles and the README is compiled by a test`() throws {
        let snippets = try Set(Self.files(in: Self.snippets).flatMap(Self.snippets(in:)))
        var blocks = 0
        for file in try Self.pages() {
            for block in try Self.blocks(in: file) {
                blocks += 1
                let isCompiled = snippets.contains(block)
                #expect(isCompiled, "\(file.lastPathComponent): \(block)")
            }
        }
        #expect(blocks >= 15)
    }

    @Test func `every snippet stands in an article or in the README`() throws {
        let blocks = try Set(Self.pages().flatMap(Self.blocks(in:)))
        for snippet in try Self.files(in: Self.snippets).flatMap(Self.snippets(in:)) {
            let isShown = blocks.contains(snippet)
            #expect(isShown, "\(snippet)")
        }
    }

    @Test func `the article on testing, block below block, is a file that compiles`() throws {
        let article = Self.catalogue(of: "OverSQLite").appending(path: "Testing.md")
        let file = try String(
            contentsOf: Self.snippets.appending(path: "TestingTests.swift"), encoding: .utf8)
        let code = file.components(separatedBy: "\n").filter { line in
            !line.hasPrefix("// begin: ") && line != "// end"
        }
        let blocks = try Self.blocks(in: article)
        #expect(Self.lines(blocks) == Self.lines([code.joined(separator: "\n")]))
        #expect(blocks.count >= 8)
    }

    /// What is not empty.
    private static func lines(_ texts: [String]) -> [String] {
        texts.flatMap { $0.components(separatedBy: "\n") }.filter { !$0.isEmpty }
    }

    @Test(arguments: [("OverSQLite", 25), ("OverSQLiteTestSupport", 10)])
    func `every public type has its place among the topics`(module: String, least: Int) throws {
        let page = try String(
            contentsOf: Self.catalogue(of: module).appending(path: "\(module).md"), encoding: .utf8)
        let declaration =
            /^public (?:final class|struct|enum|protocol|actor|class) (?<name>\w+)/
            .anchorsMatchLineEndings()
        var types = 0
        for file in try Self.files(in: Self.root.appending(path: "Client/\(module)"))
        where file.pathExtension == "swift" {
            for match in try String(contentsOf: file, encoding: .utf8).matches(of: declaration) {
                types += 1
                let isListed = page.contains("- ``\(match.name)``")
                #expect(isListed, "\(match.name)")
            }
        }
        #expect(types >= least)
    }

    private static func catalogue(of module: String) -> URL {
        root.appending(path: "Client/\(module)/\(module).docc")
    }

    /// What shows code: the articles of all catalogues, the README, and the comments of what tests of apps use.
    private static func pages() throws -> [URL] {
        try catalogues.flatMap { try files(in: catalogue(of: $0)) }
            + files(in: root.appending(path: "Client/OverSQLiteTestSupport"))
            .filter { $0.pathExtension == "swift" } + [root.appending(path: "README.md")]
    }

    /// The blocks of Swift code in a page, or in a source file's comments.
    private static func blocks(in page: URL) throws -> [String] {
        var text = try String(contentsOf: page, encoding: .utf8)
        if page.pathExtension == "swift" {
            text = text.replacing(/(?m)^ *\/\/\/ ?/, with: "")
        }
        return sections(of: text, from: { $0 == "```swift" }, to: "```")
    }

    /// The code between `begin` and `end`.
    private static func snippets(in source: URL) throws -> [String] {
        sections(
            of: try String(contentsOf: source, encoding: .utf8),
            from: { $0.hasPrefix("// begin: ") }, to: "// end")
    }

    /// What stands between two lines, as if its first line stood at the margin.
    private static func sections(
        of text: String, from isStart: (String) -> Bool, to end: String
    ) -> [String] {
        var sections: [String] = []
        var section: [String]?
        var indent = 0
        for line in text.components(separatedBy: "\n") {
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            if isStart(trimmed) {
                section = []
                indent = line.prefix { $0 == " " }.count
            } else if trimmed == end, let lines = section {
                sections.append(lines.joined(separator: "\n"))
                section = nil
            } else {
                section?.append(String(line.dropFirst(indent)))
            }
        }
        return sections
    }

    private static func files(in folder: URL) throws -> [URL] {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        var found: [URL] = []
        while let file = files?.nextObject() as? URL {
            if ["swift", "md"].contains(file.pathExtension) { found.append(file) }
        }
        return found.sorted { $0.path < $1.path }
    }
}
