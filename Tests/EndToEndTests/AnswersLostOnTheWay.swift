import Foundation
import OperatorKit
import SeededRandom
import ServerModel
import Sidecar
import Testing

@Suite("Answers lost on the way", .serialized, .timeLimit(.minutes(5)))
struct AnswersLostOnTheWay {
    private static let seed: UInt64 = 7
    private static let steps = 120

    /// ```
    /// phone    A ──╳          A ── B ──────╳    C ── B again ─ …
    /// proxy        cut before │    │   cut after│    │
    /// gateway                 A    B            C    B: as before
    /// ```
    @Test(
        "Requests and answers are cut off on the way to the gateway; devices send again, also out of order; each change takes effect once"
    )
    func lost() async throws {
        try await withStack({
            plan(in: $0, "tables:\n" + ModelServer.registrations, ModelServer.schema)
        }) { stack in
            let gateway = try #require(URL(string: stack.gateway)?.port)
            try await CuttingProxy.run(before: [gateway]) { proxy, port in
                var run = LossyRun(
                    stack: stack, proxy: proxy, port: port,
                    generator: SeededGenerator(seed: Self.seed))
                for step in RandomHistory(seed: Self.seed, steps: Self.steps).steps {
                    try await run.take(step)
                }
                try await run.finish()
                // What the test is about has happened, and often.
                #expect(run.cutRequests > 10)
                #expect(run.cutAnswers > 10)
                #expect(run.overtaken > 5)
                try await run.expectFeeds()
            }
            try await withConnection(to: stack.database) { connection in
                _ = try await Verifier(connection: connection).run { differences in
                    for difference in differences { Issue.record("verify: \(difference)") }
                }
            }
        }
    }
}
