import Soak
import Testing

@Suite("Soaked briefly", .timeLimit(.minutes(5)))
struct SoakedBriefly {
    @Test(
        "P1 P8: on a rough network, with every process killed, nothing is lost and all ends equal"
    )
    func briefly() async throws {
        try await withStarted(demonstrationPlan) { stack in
            var plan = Soak.Plan()
            plan.duration = .seconds(40)
            plan.devices = 4
            let report = try await Soak.run(plan, on: stack) { _ in }
            let text = report.lines.joined(separator: "\n")
            #expect(report.faults == [], "\(text)")
            // What the test is about has happened.
            #expect(report.strikes.count == 6, "\(text)")
            #expect(report.connections.count == 5, "\(text)")
            #expect(report.changes > 500, "\(text)")
        }
    }
}
