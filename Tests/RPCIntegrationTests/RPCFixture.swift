import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing

@testable import RPC

/// A directory of its own for a test, short enough for socket paths, removed at the end.
final class RunDirectory: Sendable {
    let path: String

    init() {
        path = "/tmp/oversync-rpc-\(UInt32.random(in: 0 ... .max))"
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

/// Counts and keeps events, and lets a test wait for one.
final class RecordedEvents: RPCObserver, Sendable {
    private struct State {
        var events: [RPCEvent] = []
        var waiters:
            [(matches: @Sendable (RPCEvent) -> Bool, resume: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    func observe(_ event: RPCEvent) {
        let resumed = state.withLock { state in
            state.events.append(event)
            let resumed = state.waiters.filter { $0.matches(event) }.map(\.resume)
            state.waiters.removeAll { $0.matches(event) }
            return resumed
        }
        for continuation in resumed { continuation.resume() }
    }

    /// Returns once such an event has happened, before or after the call.
    func first(where matches: @escaping @Sendable (RPCEvent) -> Bool) async {
        await withCheckedContinuation { continuation in
            let happened = state.withLock { state in
                if state.events.contains(where: matches) { return true }
                state.waiters.append((matches, continuation))
                return false
            }
            if happened { continuation.resume() }
        }
    }

    func count(where matches: (RPCEvent) -> Bool) -> Int {
        state.withLock { $0.events.count(where: matches) }
    }
}

/// A logger that says nothing: what a test checks, it checks in events.
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A context with a deadline that no test means to reach.
func context(
    _ id: String = "test", within time: Duration = .seconds(30), caller: CallerIdentity? = nil
) -> CallContext {
    CallContext(requestID: id, deadline: .now + time, caller: caller)
}

/// Runs `body` with the services running; shuts them down gracefully afterwards, or when `body`
/// calls the trigger it gets.
func withServices<R: Sendable>(
    _ services: [any Service], _ body: @Sendable (ServiceGroup) async throws -> R
) async throws -> R {
    let group = ServiceGroup(
        configuration: ServiceGroupConfiguration(
            services: services.map {
                .init(
                    service: $0, successTerminationBehavior: .ignore,
                    failureTerminationBehavior: .gracefullyShutdownGroup)
            }, logger: quiet))
    async let running: Void = group.run()
    do {
        let result = try await body(group)
        await group.triggerGracefulShutdown()
        try await running
        return result
    } catch {
        await group.triggerGracefulShutdown()
        try? await running
        throw error
    }
}

/// One of something that a test waits for: an event of its own making.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    var isOpen: Bool { state.withLock { $0.isOpen } }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Not cancellable: what waits here is meant to be let go by the test.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// Polls a condition that has no event, with a deadline.
func eventually(
    within time: Duration = .seconds(10), _ condition: () -> Bool
) async throws {
    let deadline = ContinuousClock.now + time
    while !condition() {
        try #require(ContinuousClock.now < deadline, "the condition did not come true in time")
        await Task.yield()
        // Between looks only; what passes is the condition, not the time.
        try await Task.sleep(for: .milliseconds(1))
    }
}

/// A number that several tasks count up.
final class Tally: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .relaxed) }

    func add() {
        count.add(1, ordering: .relaxed)
    }
}
