import Testing

@testable import OverSQLite
@testable import Soak

@Suite("Which rejections a soak explains")
struct RejectionRuleTests {
    private static func rejected(
        _ state: String?, reason: String = "materialize_error", table: String = "users"
    ) -> RejectedChange {
        RejectedChange(
            table: table, key: "a", reason: reason,
            message: state.map { "business.\(table) refused the row: SQLSTATE \($0) (a text)" },
            retryAt: nil)
    }

    @Test("Locks and deadlines explain themselves", arguments: ["55P03", "57014"])
    func postponed(state: String) {
        #expect(RejectionRule.judge([Self.rejected(state)]) == [.postponed])
    }

    @Test("A foreign key is explained by a change of another table that was postponed before")
    func foreignKey() {
        let (child, parent) = (Self.rejected("55P03", table: "posts"), Self.rejected("23503"))
        #expect(RejectionRule.judge([child, parent]) == [.postponed, .follows])
        #expect(RejectionRule.judge([parent, child]) == [.unexplained, .postponed])
        #expect(RejectionRule.judge([parent, parent]) == [.unexplained, .unexplained])
        let sibling = Self.rejected("55P03")
        #expect(RejectionRule.judge([sibling, parent]) == [.postponed, .unexplained])
    }

    @Test(
        "Nothing explains what the work does not do",
        arguments: [
            rejected("23505"), rejected("42501"), rejected("XX000"), rejected("55P031"),
            rejected(nil), rejected("55P03", reason: "invalid"),
            rejected(nil, reason: "fk_missing"), rejected(nil, reason: "bad_payload"),
        ])
    func others(change: RejectedChange) {
        #expect(
            RejectionRule.judge([Self.rejected("55P03"), change]) == [.postponed, .unexplained])
    }

    @Test("The report counts both kinds and prints them")
    func counts() {
        var report = SoakReport(Soak.Plan())
        report.count([.postponed, .postponed, .follows, .unexplained])
        #expect(
            report.lines.contains(
                "rejected for a while: 1 × for a child that was postponed, "
                    + "2 × postponed by a lock or a deadline; without an explanation: 1"))
    }
}
