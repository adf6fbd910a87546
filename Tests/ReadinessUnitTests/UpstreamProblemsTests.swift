import RPC
import ServiceKit
import Testing

@testable import Gateway

@Suite("What the state of a service's replicas means for the gateway")
struct UpstreamProblemsTests {
    private func problems(
        _ replicas: [(name: String, status: ServiceStatus)]
    ) -> [ReadinessProblem] {
        UpstreamProblems.of(
            "upload", replicas, canServe: replicas.contains { $0.status.canServe })
    }

    @Test("Without any replica, or without a ready one, the gateway is not ready, and says why")
    func blocking() {
        #expect(problems([]) == [.blocking("no replica of upload is connected")])
        #expect(
            problems([("one", .notReady("no database"))]) == [
                .blocking("no replica of upload is ready"),
                .blocking("upload (one): no database"),
            ])
    }

    @Test("Beside a ready replica the problems of another degrade the gateway")
    func degrading() {
        #expect(problems([("one", .ready), ("two", .ready)]) == [])
        #expect(
            problems([("one", .ready), ("two", .notReady("no database"))]) == [
                .degrading("upload (two): no database")
            ])
        #expect(
            problems([("one", ServiceStatus(.degraded, problems: ["a table"]))]) == [
                .degrading("upload (one): a table")
            ])
    }
}
