import Foundation
import Testing

/// One name for each concept, and sentences that nobody has to solve.
///
/// `forbidden-phrases.txt` holds a phrase a line, and after a tab what to say instead. A phrase
/// stands for itself in any case, between the ends of words; one that begins with `code:` is looked
/// for in Swift code, not in prose.
@Suite("Phrases")
struct PhraseTests {
    struct Phrase {
        let text: String
        let instead: String
        let isOfCode: Bool
    }

    static func phrases() throws -> [Phrase] {
        let list = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "forbidden-phrases.txt")
        return try String(contentsOf: list, encoding: .utf8).split(separator: "\n").compactMap {
            line in
            if line.hasPrefix("#") { return nil }
            let parts = line.split(separator: "\t")
            guard parts.count == 2 else { return nil }
            let isOfCode = parts[0].hasPrefix("code:")
            return Phrase(
                text: String(isOfCode ? parts[0].dropFirst(5) : parts[0]),
                instead: String(parts[1]), isOfCode: isOfCode)
        }
    }

    @Test func `no file says what the glossary forbids`() throws {
        let phrases = try Self.phrases()
        #expect(phrases.count > 5)
        var found: [String: [String]] = [:]
        for file in SourceTree.files where !file.path.hasPrefix("Tests/TidyTests/") {
            let isSwift = file.path.hasSuffix(".swift")
            let codeLines = isSwift ? file.codeLines : []
            for (index, line) in file.lines.enumerated() {
                for phrase in phrases where isSwift || !phrase.isOfCode {
                    let place = phrase.isOfCode ? codeLines[index] : line
                    guard Self.says(place, phrase) else { continue }
                    found[file.path, default: []].append(
                        "\(index + 1): “\(phrase.text)”: say “\(phrase.instead)”")
                }
            }
        }
        try Ratchet(name: "phrases", advice: "Rewrite the sentence (Docs/glossary.md).").check(
            found)
    }

    static func says(_ line: Substring, _ phrase: Phrase) -> Bool {
        var rest = line
        let options: String.CompareOptions = phrase.isOfCode ? [.literal] : [.caseInsensitive]
        while let range = rest.range(of: phrase.text, options: options) {
            let before = rest[..<range.lowerBound].last
            let after = rest[range.upperBound...].first
            if !isOfWord(before), !isOfWord(after) { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }

    private static func isOfWord(_ character: Character?) -> Bool {
        character.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false
    }
}
