import DevStack
import Foundation
import GatewayAccess
import OperatorKit
import Postgres
import SeededRandom
import Sidecar
import Synchronization

/// Real devices on a rough network before a stack whose processes are killed. In the end nothing
/// may be lost, all copies and digests must be equal, and memory and descriptors must have been
/// flat.
///
/// ```
/// network   rough, sometimes down ──────────────────────────────────────────────── good
/// devices   write, sync, stop, start ───────────────────────────────────────────── sync, verify
/// stack     every process dies in turn ─────┬─ sessions and one Download die in turn ─
/// memory                                    └─ warm-up ─ middle third ─ last third ─ judged
/// ```
package struct Soak: Sendable {
    package struct Plan: Sendable {
        package var duration: Duration = .seconds(600)
        package var devices = 6
        package var seed: UInt64 = 1

        package init() {}
    }

    /// Users that the devices belong to, in turn.
    static let users = 2
    /// Changes in one upload, of a user's devices in turn: with few, what belongs together is often
    /// divided.
    private static let uploadLimits = [200, 10]
    /// Times that the network is down, and the part of the run that they take together.
    private static let outages = 5
    private static let outageShare = 0.1
    /// Between two strikes: a run of an hour has some 120, and a short one sixteen.
    private static let strikePauses: ClosedRange<Duration> = .seconds(2) ... .seconds(30)
    private static let strikes = 16
    private static let samplePauses: ClosedRange<Duration> = .milliseconds(250) ... .seconds(5)
    private static let samples = 200
    /// Between two writes of the back end.
    private static let backEndPause: Duration = .milliseconds(500)
    /// How long devices may take to come to rest at the end.
    private static let patience: Duration = .seconds(180)
    /// Syncs of each device after which all copies must be equal.
    private static let lastSyncs = 3

    private let plan: Plan
    private let stack: Stack
    private let network: RoughNetwork
    private let watch: ProcessWatch
    private let say: @Sendable (String) -> Void

    /// Runs on a stack with the demonstration's tables and two Download replicas.
    ///
    /// - Parameter say: gets a line about each stage.
    package static func run(
        _ plan: Plan, on stack: Stack, say: @escaping @Sendable (String) -> Void
    ) async throws -> SoakReport {
        let soak = Soak(plan, stack, say)
        guard let gateway = URL(string: stack.address.gateway)?.port else {
            throw StackError("\(stack.address.gateway) has no port")
        }
        let network = soak.network
        let (reports, continuation) = AsyncStream.makeStream(of: SoakReport.self)
        try await Relay.run(before: [gateway], filters: { network.filters() }) { port in
            continuation.yield(try await soak.run(port))
        }
        for await report in reports { return report }
        throw CancellationError()
    }

    private init(_ plan: Plan, _ stack: Stack, _ say: @escaping @Sendable (String) -> Void) {
        self.plan = plan
        self.stack = stack
        self.say = say
        network = RoughNetwork(seed: plan.seed)
        watch = ProcessWatch(stack: stack.address, cluster: stack.postgres)
    }

    /// - Parameter port: where the network listens.
    private func run(_ port: Int) async throws -> SoakReport {
        let users = (0..<Self.users).map(SoakUser.init(number:))
        try await withConnection(to: stack.address.database) { connection in
            for user in users { try await user.writeShared("made", on: connection) }
        }
        let devices = try await makeDevices(users, port)
        var report = SoakReport(plan)
        report.strikes = try await disturb(devices, users)
        report.connections = network.connections
        say("the network is good, and all devices sync")
        report.faults += try await bringToRest(devices)
        for device in devices {
            report.transactions += await device.transactions
            report.restarts += await device.restarts
        }
        try await compare(devices, users, &report)
        report.judge(watch)
        for device in devices { try await device.end() }
        return report
    }

    private func makeDevices(_ users: [SoakUser], _ port: Int) async throws -> [SoakDevice] {
        let folder = stack.plan.directory.root + "/devices"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        guard let gateway = URL(string: "https://127.0.0.1:\(port)") else { return [] }
        let access = try await GatewayAccess(stack.address)
        var random = SeededGenerator(seed: plan.seed)
        var devices: [SoakDevice] = []
        for number in 0..<plan.devices {
            let place = SoakDevice.Place(
                folder: folder, gateway: gateway,
                uploadLimit: Self.uploadLimits[number / Self.users % Self.uploadLimits.count],
                authority: stack.address.authority, access: access)
            devices.append(
                try await SoakDevice(
                    "device-\(number + 1)", user: users[number % users.count], place: place,
                    seed: random.next()))
        }
        return devices
    }

    // MARK: The disturbed time

    /// Whether the disturbed time is over. The strikes say so: each kind comes at least once.
    private final class Ending: Sendable {
        private let over = Atomic(false)

        var hasCome: Bool { over.load(ordering: .relaxed) }

        func come() { over.store(true, ordering: .relaxed) }
    }

    /// - Returns: how often what was killed.
    private func disturb(
        _ devices: [SoakDevice], _ users: [SoakUser]
    ) async throws -> [String: Int] {
        let ending = Ending()
        let samplePause = Self.part(plan.duration / Self.samples, Self.samplePauses)
        return try await withThrowingTaskGroup(of: [String: Int]?.self) { tasks in
            for device in devices {
                tasks.addTask {
                    try await device.live { ending.hasCome }
                    return nil
                }
            }
            tasks.addTask {
                try await writeByBackEnd(users, until: ending)
                return nil
            }
            tasks.addTask {
                try await disturbNetwork(until: ending)
                return nil
            }
            tasks.addTask {
                defer { ending.come() }
                return try await strike()
            }
            tasks.addTask {
                await watch.run(every: samplePause, until: { ending.hasCome })
                return nil
            }
            return try await tasks.reduce(into: [:]) { $0.merge($1 ?? [:]) { $1 } }
        }
    }

    private func strike() async throws -> [String: Int] {
        let pause = Self.part(plan.duration / Self.strikes, Self.strikePauses)
        var strikes = Strikes(
            stack: stack.address, cluster: stack.postgres, watch: watch,
            random: SeededGenerator(seed: plan.seed &+ 1))
        say("every process is killed in turn")
        try await strikes.run(Strikes.all, every: pause, until: .now + plan.duration / 2)
        try await stack.address.waitUntilReady()
        strikes.spareOneOfEach()
        watch.startSampling()
        say("memory and descriptors are watched; sessions and one Download process are killed")
        try await strikes.run(Strikes.besideWatched, every: pause, until: .now + plan.duration / 2)
        watch.stopSampling()
        return strikes.hits
    }

    private func disturbNetwork(until ending: Ending) async throws {
        let start = ContinuousClock.now
        var random = SeededGenerator(seed: plan.seed &+ 2)
        let cycle = plan.duration / Self.outages
        for number in 0..<Self.outages where !ending.hasCome {
            let began = start + cycle * number
            let wait = Double.random(in: 0..<(1 - Self.outageShare), using: &random)
            try await Task.sleep(until: began + cycle * wait)
            network.set(.down)
            try await Task.sleep(for: cycle * Self.outageShare)
            network.set(.rough)
        }
    }

    /// Plain SQL writes the rows that all devices edit, while PostgreSQL is there.
    private func writeByBackEnd(
        _ users: [SoakUser], until ending: Ending
    ) async throws {
        var number = 0
        while !ending.hasCome {
            number += 1
            let (user, text) = (users[number % users.count], "back end \(number)")
            do {
                try await withConnection(to: stack.address.database) { connection in
                    try await user.writeShared(text, on: connection)
                }
            } catch is PostgresError {}
            try await Task.sleep(for: Self.backEndPause)
        }
    }

    private static func part(_ wanted: Duration, _ range: ClosedRange<Duration>) -> Duration {
        min(max(wanted, range.lowerBound), range.upperBound)
    }

    // MARK: The end

    /// Lets all devices send and fetch everything.
    ///
    /// - Returns: which of them could not.
    private func bringToRest(_ devices: [SoakDevice]) async throws -> [String] {
        network.set(.good)
        try await stack.address.waitUntilReady()
        let end = ContinuousClock.now + Self.patience
        for device in devices { await device.stop() }
        var faults: [String] = []
        for _ in 0..<Self.lastSyncs {
            for device in devices {
                do { try await device.sync(until: end) } catch {
                    faults.append("\(device.name) does not come to rest: \(error)")
                }
            }
            if !faults.isEmpty { break }
        }
        return faults
    }

    private func compare(
        _ devices: [SoakDevice], _ users: [SoakUser], _ report: inout SoakReport
    ) async throws {
        var served: [SoakUser: [String: String]] = [:]
        try await withConnection(to: stack.address.database) { connection in
            for user in users { served[user] = try await user.served(on: connection) }
            let summary = try await Verifier(connection: connection, user: nil, table: nil).run {
                found in
                report.faults += found.map { "oversync verify: \($0)" }
            }
            report.changes = summary.changes
            report.rows = summary.rows
            report.faults += try await openFailures(on: connection)
        }
        var left = served
        for device in devices {
            let rows = served[device.user, default: [:]]
            report.faults += Self.differences(
                of: device.name, try await device.shown(), "PostgreSQL", rows)
            let own = await device.own
            let ownServed = rows.filter { own[$0.key] != nil }
            report.faults += Self.differences(
                of: "PostgreSQL", ownServed, "what \(device.name) wrote", own)
            for row in own.keys { left[device.user]?[row] = nil }
            report.count(await device.rejections.map(\.1))
            report.faults += try await device.faults(until: .now + Self.patience)
        }
        for user in users {
            let shared = Set(user.sharedKeys.map { "users \($0)" })
            for row in left[user, default: [:]].keys where !shared.contains(row) {
                report.faults.append("PostgreSQL has \(row), which was deleted")
            }
        }
    }

    /// What the server still tells the operator of rows that a business table refused.
    private func openFailures(on connection: PostgresConnection) async throws -> [String] {
        try await connection.rows(Self.failures, of: String.self).all()
            .map { "sync.materialize_failures still has \($0)" }
    }

    private static let failures = Statement(
        name: "soak_failures",
        sql: """
            SELECT concat_ws(' ', sqlstate, error) FROM sync.materialize_failures
            WHERE resolved_at IS NULL ORDER BY id
            """)

    private static func differences(
        of name: String, _ rows: [String: String], _ other: String, _ expected: [String: String]
    ) -> [String] {
        Set(rows.keys).union(expected.keys).sorted().compactMap { row in
            guard rows[row] != expected[row] else { return nil }
            return "\(row): \(name) has \(rows[row] ?? "no row"), "
                + "\(other) \(expected[row] ?? "no row")"
        }
    }
}
