import Bench
import DevStack
import Testing

@Suite("P6: one user cannot hurt another", .timeLimit(.minutes(5)))
struct OneUserCannotHurtAnother {
    /// Times say little on a machine that runs tests; `make siege` judges them. What is asserted here
    /// is that nobody else is refused.
    @Test(
        "While one user's log is locked, and while its large uploads come on 60 connections, another user is answered every time",
        arguments: [("locked-log", "503"), ("good-60", "200")])
    func answered(attack: String, answer: String) async throws {
        try await withStarted(
            { Siege.stackPlan(demonstrationPlan(in: $0), for: attack) }
        ) { stack in
            var plan = SiegePlan()
            plan.seconds = 2
            plan.settleSeconds = 0
            let result = try await Siege(plan).measure(attack, on: stack)
            let told = result.broken.joined(separator: "\n")
            #expect(result.victim.requests > 10, "\(told)")
            #expect(result.victim.failed == 0, "\(told)")
            #expect(result.answers[answer, default: 0] > 0, "\(result.answers)")
        }
    }
}
