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

    @Test func noNameOnTheServerIsUsedTwice() throws {
        var prepared = PreparedStatements(limit: 3)
        var used: Set<String> = []
        for round in 0..<200 {
            let statements = (0..<4).map { statement("s\((round * 3 + $0) % 11)") }
            for plan in try prepared.plan(statements).get() {
                guard case .prepare(let name) = plan else { continue }
                #expect(used.insert(name).inserted)
            }
            for (index, statement) in statements.enumerated() {
                prepared.confirm(statement)
                // Two of one pipeline: the one's end does not give the other another name than it was prepared by.
                if index == 1, round % 5 == 0 { prepared.invalidate(statement) }
            }
            _ = prepared.takeDoomed()
            #expect(prepared.count <= 3)
            for plan in try prepared.plan([statements[3]]).get() {
                guard case .execute(let name) = plan else { continue }
                #expect(used.contains(name))
            }
        }
    }

    @Test func twoTextsUnderOneNameAreFound() {
        var prepared = PreparedStatements(limit: 2)
        let plan = prepared.plan([statement("a"), statement("b"), statement("a", "SELECT 2")])
        #expect(plan == .failure(PreparedStatements.Conflict(index: 2)))
    }
}
