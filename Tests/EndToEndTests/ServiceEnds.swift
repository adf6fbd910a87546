import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import OperatorKit
import Testing

/// Where one process of a test's stack reports about itself.
struct StackMetrics: Sendable {
    private let port: Int

    init() throws { port = try FreePort.find() }

    /// What the process is started with.
    var environment: [String: String] { ["OVERSYNC_ADMIN_PORT": "\(port)"] }

    /// The value of a metric without labels.
    func value(of name: String, _ client: HTTPClient) async throws -> Int {
        let response = try await client.execute(
            HTTPClientRequest(url: "http://127.0.0.1:\(port)/metrics"), timeout: .seconds(5))
        let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return try Int(#require(line.flatMap { Double($0.split(separator: " ")[1]) }))
    }
}

/// A service's process on its way to its end.
struct EndingProcess: Sendable {
    let id: Int32
    let name: String
    let stack: StackAddress
    private let signalled: ContinuousClock.Instant

    /// Sends SIGTERM to one replica of a service.
    init(terminating name: String, replica index: Int = 0, of stack: StackAddress) throws {
        let found = ServiceProcesses.named(name, of: stack)
        try #require(found.count > index, "\(name) does not run")
        (id, self.name, self.stack) = (found[index], name, stack)
        signalled = .now
        try #require(kill(id, SIGTERM) == 0)
    }

    /// What an idle process takes is less than a second; a machine that is busy with other tests makes more of it. It
    /// is less than what any client that is waited for would make of it: 5 s by TLS, 20 s by a long poll.
    static let promptly: Duration = .seconds(3)

    /// Waits until it is gone, and says how long it took from the signal.
    @discardableResult
    func ended(within time: Duration = .seconds(40)) async throws -> Duration {
        try await eventually(within: time, "\(name) \(id) ends") {
            !ServiceProcesses.named(name, of: stack).contains(id)
        }
        let time = ContinuousClock.now - signalled
        print("\(name) has ended \(time) after SIGTERM")
        return time
    }

    /// Waits until the supervisor has started it again.
    func startedAgain() async throws {
        try await eventually("\(name) runs again") {
            let found = ServiceProcesses.named(name, of: stack)
            return !found.isEmpty && !found.contains(id)
        }
    }
}

/// Polls a condition that has no event, with a deadline.
func eventually(
    within time: Duration = .seconds(20), _ what: String, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + time
    while !(try await condition()) {
        try #require(ContinuousClock.now < deadline, "not in time: \(what)")
        // Between looks only; what passes is the condition, not the time.
        try await Task.sleep(for: .milliseconds(5))
    }
}
