import Testing
import Waiting

/// Which of many events are recorded.
struct RecordBudgetTests {
    @Test func `thirty at once are recorded, then one in two seconds, with the number between`() {
        let start = ContinuousClock.now
        var budget = RecordBudget(now: start)
        for _ in 0..<30 { #expect(budget.add(now: start) == 0) }
        for _ in 0..<1000 { #expect(budget.add(now: start) == nil) }
        #expect(budget.add(now: start + .seconds(4)) == 1000)
        #expect(budget.add(now: start + .seconds(4)) == 0)
        #expect(budget.add(now: start + .seconds(4)) == nil)
        // What could not be recorded is counted with the next one.
        budget.lose(5)
        #expect(budget.add(now: start + .seconds(6)) == 6)
    }

    @Test func `a long silence gives no more than thirty`() {
        let start = ContinuousClock.now
        var budget = RecordBudget(now: start)
        let later = start + .seconds(86_400)
        #expect((0..<100).count { _ in budget.add(now: later) != nil } == 30)
    }
}
