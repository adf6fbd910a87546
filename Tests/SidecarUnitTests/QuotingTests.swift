import Testing

@testable import Sidecar

@Suite("Names and texts in SQL")
struct QuotingTests {
    @Test("Every quote is doubled, one that a mark stands behind too")
    func quotes() {
        func scalars(_ text: String) -> [Unicode.Scalar] { Array(text.unicodeScalars) }
        #expect(quoted("a") == "\"a\"")
        #expect(scalars(quoted("a\"\u{301}b\"")) == scalars("\"a\"\"\u{301}b\"\"\""))
        #expect(scalars(literal("'\u{301}")) == scalars("\u{27}\u{27}\u{27}\u{301}\u{27}"))
        #expect(literal("") == "\u{27}\u{27}")
    }
}
