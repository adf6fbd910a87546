import RPC
import Testing

@testable import ServiceKit

@Suite("What the results of the probes come to")
struct ReadinessRulesTests {
    private let start = ContinuousClock.now

    private func rules(_ names: String...) -> ReadinessRules { ReadinessRules(names) }

    @Test("A check that has not answered yet makes the service not ready")
    func unknown() {
        var rules = rules("database", "keys")
        #expect(rules.status(now: start).state == .notReady)
        rules.began(0, now: start)
        rules.answered(0, [], now: start)
        #expect(rules.status(now: start) == .notReady("keys: not known yet"))
        rules.answered(1, [], now: start)
        #expect(rules.status(now: start) == .ready)
    }

    @Test(
        "A blocking problem makes it not ready, another one degraded; blocking ones are told first")
    func kinds() {
        var rules = rules("database", "keys")
        rules.answered(0, [.degrading("a table")], now: start)
        rules.answered(1, [], now: start)
        #expect(
            rules.status(now: start) == ServiceStatus(.degraded, problems: ["database: a table"]))
        rules.answered(1, [.blocking("none")], now: start)
        #expect(
            rules.status(now: start)
                == ServiceStatus(.notReady, problems: ["keys: none", "database: a table"]))
        rules.answered(0, [], now: start)
        rules.answered(1, [], now: start)
        #expect(rules.status(now: start) == .ready)
    }

    @Test("A probe that takes longer than it may is a problem until it answers")
    func late() {
        var rules = rules("database")
        rules.began(0, now: start)
        rules.answered(0, [], now: start)
        rules.began(0, now: start)
        let limit = ReadinessCheck.limit
        #expect(rules.status(now: start + limit - .milliseconds(1)) == .ready)
        #expect(
            rules.status(now: start + limit)
                == .notReady("database: does not answer within 600 ms"))
        // The same words an hour later: it is no news.
        #expect(rules.status(now: start + .seconds(3600)) == rules.status(now: start + limit))
        rules.answered(0, [], now: start + .seconds(3600))
        #expect(rules.status(now: start + .seconds(3600)) == .ready)
    }

    @Test("No answer is believed for longer than a second")
    func old() {
        var rules = rules("database")
        rules.began(0, now: start)
        rules.answered(0, [], now: start)
        #expect(rules.status(now: start + ReadinessRules.maximumAge) == .ready)
        let later = start + ReadinessRules.maximumAge + .milliseconds(1)
        #expect(rules.status(now: later).state == .notReady)
        // Until the next probe is late, the last answer is at most so old.
        #expect(ReadinessRules.interval + ReadinessCheck.limit < ReadinessRules.maximumAge)
    }

    @Test("A process that shuts down is not ready, whatever its checks say")
    func stopping() {
        var rules = rules()
        #expect(rules.status(now: start) == .ready)
        rules.stop()
        #expect(rules.status(now: start) == .notReady("the process is shutting down"))
    }

    @Test("Problems are told in bounded number and length")
    func bounds() {
        var rules = rules("database")
        let long = String(repeating: "ä", count: 1000)
        rules.answered(0, (0..<100).map { .blocking("\($0) \(long)") }, now: start)
        let problems = rules.status(now: start).problems
        #expect(problems.count == ServiceStatus.maximumProblems)
        #expect(problems.allSatisfy { $0.utf8.count <= ServiceStatus.maximumProblemBytes + 8 })
        #expect(problems.last == "and 81 more")
    }
}
