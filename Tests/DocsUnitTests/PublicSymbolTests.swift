import Foundation
import Testing

/// Every public symbol of the products for apps says in a comment what it is.
struct PublicSymbolTests {
    @Test(
        arguments: [
            ("Client/OverSQLite", 150), ("Client/OverSQLiteAsyncHTTP", 4),
            ("Client/OverSQLiteTestSupport", 60),
        ])
    func `every public symbol has a doc comment`(module: String, least: Int) throws {
        var symbols = 0
        for (path, text) in try Repository.texts(ofKinds: ["swift"], in: [module]) {
            let found = PublicSymbols(source: text)
            symbols += found.count
            #expect(found.undocumented == [], "\(path)")
        }
        #expect(symbols >= least)
    }

    @Test func `members of protocols, cases, and attributes between are seen`() {
        let found = PublicSymbols(
            source: """
                /// Documented.
                public enum A: Sendable {
                    case one
                    /// Documented.
                    @discardableResult
                    public func two() {}
                    enum Inner {
                        case hidden
                    }
                }
                public protocol B {
                    var three: Int { get }
                }
                struct C {
                    case hidden
                }
                @MainActor public var four = 4
                """)
        #expect(
            found.undocumented == [
                "case one", "public protocol B {", "var three: Int { get }",
                "@MainActor public var four = 4",
            ])
        #expect(found.count == 6)
    }
}

/// The public symbols of a formatted source file: what is declared `public`, the cases of public enums and the members
/// of public protocols.
private struct PublicSymbols {
    private(set) var count = 0
    /// The first lines of the declarations that no doc comment stands above.
    private(set) var undocumented: [String] = []

    /// The public enum or protocol that is open: how deep its members stand, and the words they begin with.
    private struct Scope {
        let indent: Int
        let members: Set<Substring>
    }

    init(source: String) {
        var isDocumented = false
        var scope: Scope?
        for line in source.components(separatedBy: "\n") {
            let indent = line.prefix { $0 == " " }.count
            let text = line.trimmingCharacters(in: .whitespaces)
            let words = Self.words(of: text)
            if let open = scope, text == "}", indent < open.indent { scope = nil }
            let isMember =
                scope.map { open in
                    indent == open.indent && words.first.map(open.members.contains) == true
                } ?? false
            let isPublic =
                words.first == "public"
                && !["extension", "import"].contains(words.dropFirst().first)
            if isMember || isPublic {
                count += 1
                if !isDocumented { undocumented.append(text) }
            }
            if isPublic, let members = Self.members(of: words) {
                scope = Scope(indent: indent + 4, members: members)
            }
            // Attributes on lines of their own stand between a comment and what it is about.
            if !(text.hasPrefix("@") && words.isEmpty) { isDocumented = text.hasPrefix("///") }
        }
    }

    /// The words of a declaration, without its attributes.
    private static func words(of text: String) -> [Substring] {
        Array(text.split(separator: " ").drop { $0.hasPrefix("@") })
    }

    /// The words that the members begin with which are public because the type is.
    private static func members(of words: [Substring]) -> Set<Substring>? {
        if words.contains("enum") { return ["case", "indirect"] }
        if words.contains("protocol") {
            return ["func", "var", "init", "static", "mutating", "subscript", "associatedtype"]
        }
        return nil
    }
}
