import Bench
import DevStack
import Testing

@Suite("P6: one user cannot hurt another", .timeLimit(.minutes(5)))
struct OneUserCannotHurtAnother {
    /// On a machine that runs tests, times say little: `make siege` judges them. This asserts that
    /// nobody else is refused.
    @Test("While a user's log is locked, or it sends large uploads, another is always answered")
    func answered() async throws {
        try await withStarted({ directory in
            Siege.stackPlan(demonstrationPlan(in: directory), for: "locked-log")
        }) { stack in
            var plan = SiegePlan()
            // Longer than an upload waits for its user's log.
            plan.seconds = 8
            plan.settleSeconds = 0
            // The large uploads may not be answered in that time: they only have to be there.
            for (attack, answers) in [
                ("locked-log", ["503"]), ("good-60", ["200", "unanswered"]),
            ] {
                let result = try await Siege(plan).measure(attack, on: stack)
                let told = result.broken.joined(separator: "\n")
                #expect(result.victim.requests > 10, "\(attack): \(told)")
                #expect(result.victim.failed == 0, "\(attack): \(told)")
                #expect(
                    answers.contains { result.answers[$0, default: 0] > 0 },
                    "\(attack): \(result.answers)")
            }
        }
    }
}
