import Foundation
import Testing

/// `Docs/protocol/protocol.md`, held against the sources.
struct ProtocolPageTests {
    private static let page = "Docs/protocol/protocol.md"

    @Test func `every error code that a source gives is on the page, and no other`() throws {
        var given: Set<String> = []
        for (_, text) in try Repository.texts(ofKinds: ["swift"], in: ["Services", "Shared"]) {
            let codes = text.matches(of: /\b(?:code|faultCode): "([a-z_]+)"/)
            given.formUnion(codes.map { String($0.output.1) })
        }
        let lines = try Repository.text(of: Self.page).matches(of: /(?m)^\| [45]\d\d \| ([^|]+) \|/)
        let listed = lines.flatMap { line in
            line.output.1.matches(of: /`([a-z_]+)`/).map { String($0.output.1) }
        }
        #expect(given.count > 20)
        #expect(Set(listed) == given && listed.count == given.count)
    }

    @Test func `every reason and status of a change is on the page, and no other`() throws {
        let source = try Repository.text(of: "Services/Upload/Rules/ChangeVerdict.swift")
        let rejection = try Repository.text(of: "Shared/Model/Rejection.swift")
        let reasons = rejection.matches(of: /case \w+ = "([a-z_]+)"/).map { String($0.output.1) }
        let statuses = source.matches(of: /case \.\w+: "([a-z_]+)"/).map { String($0.output.1) }
        #expect(reasons.count == 7 && statuses.count == 5)
        #expect(try Self.names(inTable: "| `invalid.reason` |") == Set(reasons))
        #expect(try Self.names(inTable: "| status | a client must |") == Set(statuses))
    }

    @Test func `every route is on the page, and no other`() throws {
        let openapi = try Repository.text(of: "Docs/openapi.yaml")
        let described = openapi.matches(of: /(?m)^  (\/\S+):\n    (get|post):/).map {
            "\($0.output.2.uppercased()) \($0.output.1)"
        }
        let page = try Repository.text(of: Self.page)
        let named = page.matches(of: /`(GET|POST) (\/[^`?]+)[^`]*`/).map {
            "\($0.output.1) \($0.output.2)"
        }
        #expect(described.count > 12 && Set(named) == Set(described))
    }

    @Test func `every field of a body is on the page`() throws {
        let page = try Repository.text(of: Self.page)
        let protos = try Repository.text(of: "Shared/Protos/Definitions/wire.proto")
        let fields = protos.matches(of: /(?m)^  (?:repeated )?\w+ (\w+) = \d+;/).map {
            String($0.output.1)
        }
        #expect(fields.count > 30)
        for field in fields { #expect(page.contains("`\(field)`"), "\(field)") }
    }

    /// The names at the beginning of a table's lines.
    private static func names(inTable heading: String) throws -> Set<String> {
        let page = try Repository.text(of: page)
        let table = try #require(page.components(separatedBy: "\n" + heading).dropFirst().first)
        let lines = table.components(separatedBy: "\n").dropFirst(2).prefix { $0.hasPrefix("|") }
        return Set(
            lines.compactMap { $0.firstMatch(of: #/^\| `([a-z_]+)` /#).map { String($0.output.1) } }
        )
    }
}
