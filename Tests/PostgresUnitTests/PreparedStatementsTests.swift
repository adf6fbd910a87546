import Testing

@testable import Postgres

@Suite struct PreparedStatementsTests {
    private func statement(_ name: String, _ sql: String = "SELECT 1") -> Statement {
        Statement(name: name, sql: sql)
    }

    @Test func aStatementIsPreparedOnceEvenWithinOnePipeline() throws {
        var prepared = PreparedStatements(limit: 10)
        let plans = try prepared.plan([statement("a"), statement("a")]).get()
        #expect(plans == [.prepare("a"), .execute("a")])
        prepared.confirm(statement("a"))
        #expect(try prepared.plan([statement("a")]).get() == [.execute("a")])
    }

    @Test func aStatementWhoseParseWasNotConfirmedIsPreparedAgain() throws {
        var prepared = PreparedStatements(limit: 10)
        _ = prepared.plan([statement("a")])
        #expect(try prepared.plan([statement("a")]).get() == [.prepare("a")])
    }

    @Test func theLeastRecentlyUsedGoFirst() throws {
        var prepared = PreparedStatements(limit: 2)
        for name in ["a", "b", "c"] {
            _ = prepared.plan([statement(name)])
            prepared.confirm(statement(name))
        }
        _ = prepared.plan([statement("a")])
        #expect(prepared.takeDoomed() == ["b"])
        #expect(prepared.takeDoomed() == [])
        #expect(prepared.count == 2)
    }

    @Test func aStalePlanIsPreparedUnderANewNameAndTheOldOneDeallocated() throws {
        var prepared = PreparedStatements(limit: 2)
        _ = prepared.plan([statement("a")])
        prepared.confirm(statement("a"))
        prepared.invalidate(statement("a"))
        #expect(try prepared.plan([statement("a")]).get() == [.prepare("a~1")])
        #expect(prepared.takeDoomed() == ["a"])
    }

    @Test func twoTextsUnderOneNameAreFound() {
        var prepared = PreparedStatements(limit: 2)
        let plan = prepared.plan([statement("a"), statement("b"), statement("a", "SELECT 2")])
        #expect(plan == .failure(PreparedStatements.Conflict(index: 2)))
    }
}
