import AsyncHTTPClient
import Foundation
import GatewayAccess
import OperatorKit

/// Many devices that write and read through HTTPS without pause, and take note of every acknowledged change.
package struct LoadRun: Sendable {
    /// How much of it.
    package struct Plan: Sendable {
        package var seconds = 30.0
        package var writers = 4
        package var readers = 4
        /// Where the table `users` of the demonstration is.
        package var schema = "business"

        package init() {}
    }

    /// The table that devices write.
    package static let tables = ["users"]
    /// Devices of one user that write.
    private static let writersPerUser = 2

    private let plan: Plan
    private let gateway: GatewayAccess
    private let file: AcknowledgedFile
    private let tally = LoadTally()
    /// Tells the users and keys of this run from those of all others.
    private let run = UInt32.random(in: 1 ... .max)

    package init(_ plan: Plan, gateway: GatewayAccess, file: AcknowledgedFile) {
        self.plan = plan
        self.gateway = gateway
        self.file = file
    }

    /// Ends the load before its time.
    package func stop() { tally.end() }

    /// Runs to the end, or until something happens to a device that may not.
    package func perform() async throws -> LoadReport {
        let start = ContinuousClock.now
        try await gateway.withClient { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<plan.writers {
                    group.addTask { try await write(number, client) }
                }
                for number in 0..<plan.readers {
                    group.addTask { try await read(number, client) }
                }
                try await waitForEnd(start + .seconds(plan.seconds))
                try await group.waitForAll()
            }
        }
        return tally.report(seconds: (ContinuousClock.now - start).seconds)
    }

    /// Between two looks at whether it is over.
    private static let look: Duration = .milliseconds(50)

    private func waitForEnd(_ end: ContinuousClock.Instant) async throws {
        while !tally.isOver, .now < end { try await Task.sleep(for: Self.look) }
        tally.end()
    }

    private func user(_ number: Int) -> String {
        String(format: "load-%08x-%d", run, number)
    }

    private func write(_ number: Int, _ client: HTTPClient) async throws {
        let (user, name) = (user(number / Self.writersPerUser), "writer-\(number)")
        do {
            let wire = try await PersistentWire(
                gateway, client, user: user, device: name, tally: tally)
            var device = PersistentDevice(
                user: user, device: name, number: number, run: run, schema: plan.schema, wire: wire)
            while !tally.isOver, let acknowledged = try await device.send() {
                try await file.append(acknowledged)
                tally.acknowledged(acknowledged.count)
            }
        } catch let error where !(error is CancellationError) {
            tally.fail(error)
        }
    }

    private func read(_ number: Int, _ client: HTTPClient) async throws {
        let users = max(1, (plan.writers + Self.writersPerUser - 1) / Self.writersPerUser)
        let user = user(number % users)
        do {
            let wire = try await PersistentWire(
                gateway, client, user: user, device: "reader-\(number)", tally: tally)
            let kinds = LogReader.Kind.allCases
            var reader = LogReader(
                user: user, kind: kinds[(number / users) % kinds.count], wire: wire, tally: tally)
            try await reader.run()
        } catch let error where !(error is CancellationError) {
            tally.fail(error)
        }
    }
}
