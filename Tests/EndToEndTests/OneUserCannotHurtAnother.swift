import Bench
import DevStack
import Testing

@Suite("P6: one user cannot hurt another", .timeLimit(.minutes(5)))
struct OneUserCannotHurtAnother {
    /// On a machine that runs tests, times say little: `make siege` judges them. This asserts that
    /// nobody else is refused.
    ///
    /// - Parameters:
    ///   - wait: how long an upload waits for its turn, in milliseconds. While the services read
    ///     large uploads without optimisation, on processors that other tests use, it may be long.
    ///   - answers: what the attacker gets. Large uploads may not be answered in the time: they
    ///     only have to be there.
    @Test(
        "While a user's log is locked, or it sends large uploads, another is always answered",
        arguments: [
            ("locked-log", 1000, ["503"]), ("good-60", 10_000, ["200", "unanswered"]),
        ])
    func answered(attack: String, wait: Int, answers: [String]) async throws {
        try await withStarted({ directory in
            var plan = Siege.stackPlan(demonstrationPlan(in: directory), for: attack)
            plan.environment["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS"] = "\(wait)"
            return plan
        }) { stack in
            var plan = SiegePlan()
            plan.seconds = 6
            plan.settleSeconds = 0
            plan.uploadLockMilliseconds = wait
            let result = try await Siege(plan).measure(attack, on: stack)
            let told = result.broken.joined(separator: "\n")
            #expect(result.victim.requests > 10, "\(told)")
            #expect(result.victim.failed == 0, "\(told)")
            #expect(answers.contains { result.answers[$0, default: 0] > 0 }, "\(result.answers)")
        }
    }
}
