import Logging
import RPC
import ServiceLifecycle
import Synchronization
import Testing

@testable import ServiceKit

@Suite("The loop that probes")
struct ReadinessTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs `body` while the checks are probed, with each status that is reported.
    private func probing(
        _ checks: [ReadinessCheck],
        _ body:
            @escaping @Sendable (Readiness, inout AsyncStream<ServiceStatus>.Iterator)
            async
            throws -> Void
    ) async throws {
        let readiness = Readiness(logger: logger)
        readiness.probe(checks)
        let (told, telling) = AsyncStream<ServiceStatus>.makeStream()
        readiness.onChange { telling.yield($0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await readiness.run() }
            var iterator = told.makeAsyncIterator()
            try await body(readiness, &iterator)
            group.cancelAll()
        }
    }

    @Test("News are told, in order, and what is not news is not")
    func news() async throws {
        let problem = Mutex<String?>("down")
        try await probing([ReadinessCheck("it") { problem.withLock { $0 } }]) { readiness, told in
            #expect(await told.next() == .notReady("it: not known yet"))
            #expect(await told.next() == .notReady("it: down"))
            problem.withLock { $0 = nil }
            #expect(await told.next() == .ready)
            #expect(readiness.status == .ready)
            problem.withLock { $0 = "down again" }
            #expect(await told.next() == .notReady("it: down again"))
        }
    }

    @Test("A probe that hangs is told, the others go on, and the question is answered meanwhile")
    func hanging() async throws {
        let (released, release) = AsyncStream<Void>.makeStream()
        let others = Mutex(0)
        let checks = [
            ReadinessCheck("hanging") {
                for await _ in released { break }
                return nil
            },
            ReadinessCheck("other") {
                others.withLock { $0 += 1 }
                return nil
            },
        ]
        try await probing(checks) { readiness, told in
            var status: ServiceStatus?
            repeat {
                status = await told.next()
            } while status?.problems.first?.contains("within") != true
            #expect(status == .notReady("hanging: does not answer within 600 ms"))
            #expect(readiness.status == status)
            #expect(others.withLock { $0 } >= 1)
            release.yield()
            #expect(await told.next() == .ready)
        }
    }

    @Test("A probe that hangs holds up nobody's shutdown", .timeLimit(.minutes(1)))
    func shutdown() async throws {
        let (began, begin) = AsyncStream<Void>.makeStream()
        let stuck = Mutex<CheckedContinuation<Void, Never>?>(nil)
        let readiness = Readiness(logger: logger)
        readiness.probe([
            ReadinessCheck("stuck") {
                // Does not heed its cancellation, as the cancellation of a query that a frozen server ignores.
                await withCheckedContinuation { continuation in
                    stuck.withLock { $0 = continuation }
                    begin.yield()
                }
                return nil
            }
        ])
        let group = ServiceGroup(services: [readiness], logger: logger)
        async let running: Void = group.run()
        for await _ in began { break }
        await group.triggerGracefulShutdown()
        try await running
        #expect(readiness.status.state == .notReady)
        #expect(readiness.status.problems.contains { $0.contains("shutting down") })
        stuck.withLock { $0.take() }?.resume()
    }
}
