import DevStack
import Foundation
import GRDB
import GatewayAccess
import LocalPostgres
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import SeededRandom
import Sidecar

/// Restores a stack's database to points in time before acknowledged changes, while devices live,
/// and sees what they make of it: every change that PostgreSQL lost is reported by the device that
/// wrote it, comes back, and all copies end equal.
package struct RestoreDrill: Sendable {
    package struct Plan: Sendable {
        package var devices = 4
        /// How often each device writes and syncs before the base backup, and between that and the
        /// end.
        package var turns = 6
        package var seed: UInt64 = 1
        /// The directory of backup.sh and restore.sh.
        package var scripts = "Deploy/backup"

        package init() {}
    }

    /// Longest time that a device may take to report that it has reread.
    static let reportPatience: Duration = .seconds(30)
    /// Syncs of each device after which all copies must be equal: one sends, the next one gets what
    /// others sent.
    static let syncsToEquality = 3

    private let plan: Plan
    private let stack: Stack
    private let devices: [DrillDevice]
    private let backups: DrillBackups

    private init(_ plan: Plan, _ stack: Stack, _ devices: [DrillDevice]) throws {
        self.plan = plan
        self.stack = stack
        self.devices = devices
        backups = try DrillBackups(of: stack.postgres, scripts: plan.scripts)
    }

    /// Runs rounds on a running stack with the demonstration's tables, until `next` gives no more
    /// seed.
    ///
    /// - Parameters:
    ///   - next: the seed of a round, or nil at the end.
    ///   - seen: gets the report of each round.
    package static func run(
        _ plan: Plan, on stack: Stack, next: () -> UInt64?,
        seen: (RestoreReport) throws -> Void
    ) async throws {
        let folder = stack.plan.directory.root + "/devices"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        let transport = try AsyncHTTPTransport(trusting: stack.address.authority)
        do {
            let devices = try await makeDevices(plan, stack, transport, folder)
            let drill = try RestoreDrill(plan, stack, devices)
            let receiver = try drill.backups.receive()
            while let seed = next() { try seen(try await drill.round(seed)) }
            await receiver.stop()
        } catch {
            try? await transport.shutdown()
            throw error
        }
        try await transport.shutdown()
    }

    private static func makeDevices(
        _ plan: Plan, _ stack: Stack, _ transport: AsyncHTTPTransport, _ folder: String
    ) async throws -> [DrillDevice] {
        guard let gateway = URL(string: stack.address.gateway) else { return [] }
        let access = try await GatewayAccess(stack.address)
        var random = SeededGenerator(seed: plan.seed)
        var devices: [DrillDevice] = []
        for number in 1...plan.devices {
            let name = "device-\(number)"
            let database = try DatabasePool(path: "\(folder)/\(name).db")
            try await database.write { db in
                try db.execute(
                    sql: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT)")
            }
            var configuration = SyncConfiguration(gateway: gateway, schema: "business")
            configuration.transport = transport
            let token = try await access.token(user: "ann", device: name)
            let engine = try SyncEngine(
                for: database, tables: [SyncTable("users")], configuration: configuration,
                credentials: { token })
            devices.append(DrillDevice(name, database, engine, seed: random.next()))
        }
        return devices
    }

    /// ```
    /// devices    write, sync ──┬── write, sync ──┬── write, sync ── offline ──── sync ─── all
    /// equal PostgreSQL          base backup         target            killed   restored to the
    /// target
    /// ```
    private func round(_ seed: UInt64) async throws -> RestoreReport {
        var random = SeededGenerator(seed: seed)
        var report = RestoreReport(seed: seed)
        let began = ContinuousClock.now
        try await eachDevice { try await $0.letTimePass() }
        try await eachDevice { try await $0.work() }
        try await backups.base()
        var positions: [String] = []
        for _ in 0..<plan.turns {
            positions.append(try await backups.position())
            try await eachDevice { try await $0.work() }
        }
        // Before the last turn, so that something acknowledged is lost.
        let target = positions.randomElement(using: &random) ?? ""
        try await backups.waitUntilReceived(target)
        for device in devices { report.acknowledged += await device.acknowledgements }
        let before = try await expected()

        try await stack.postgres.kill()
        let data = try await backups.restore("restored", at: target)
        try await stack.postgres.start(from: data)
        let lost = try await lost(of: before)
        report.lost = lost.values.reduce(0) { $0 + $1.count }

        for device in devices where Bool.random(using: &random) { try await device.workOffline() }
        // One after another, or all at once, so that their uploads cross.
        if Bool.random(using: &random) {
            for device in devices.shuffled(using: &random) { try await device.sync() }
        } else {
            try await eachDevice { try await $0.sync() }
        }
        for device in devices where lost[device.name]?.isEmpty == false {
            let reread = await Self.within(Self.reportPatience) { await device.nextReread() }
            guard let reread else {
                report.faults.append("\(device.name) has not reported its lost changes")
                continue
            }
            report.reported += reread.resentRows
        }
        report.faults += try await differences()
        report.restored = report.lost - (try await stillMissing(lost)).count
        report.faults += try await verify()
        report.seconds = Double((ContinuousClock.now - began).components.seconds)
        return report
    }

    private func eachDevice(_ body: @escaping @Sendable (DrillDevice) async throws -> Void)
        async throws
    {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for device in devices { tasks.addTask { try await body(device) } }
            try await tasks.waitForAll()
        }
    }

    /// What the server has acknowledged: for each key the row's name, or nil where it is deleted,
    /// and whose it is.
    private func expected() async throws -> [String: (name: String?, device: String)] {
        var result: [String: (name: String?, device: String)] = [:]
        for device in devices {
            for (id, name) in await device.acknowledgedRows { result[id] = (name, device.name) }
            for id in await device.deletedRows { result[id] = (nil, device.name) }
        }
        return result
    }

    /// The keys of the acknowledged rows that the server has otherwise, by the device that wrote
    /// them.
    private func lost(
        of expected: [String: (name: String?, device: String)]
    ) async throws -> [String: [String]] {
        let served = try await served()
        var result: [String: [String]] = [:]
        for (id, row) in expected where served[id] != row.name {
            result[row.device, default: []].append(id)
        }
        return result
    }

    /// Which of the lost rows are not what their owner knows even now.
    private func stillMissing(_ lost: [String: [String]]) async throws -> [String] {
        let (served, expected) = (try await served(), try await expected())
        return lost.values.joined().filter { served[$0] != expected[$0]?.name }
    }

    /// Rows of the business table: name by key.
    private func served() async throws -> [String: String] {
        try await withConnection(to: stack.address.database) { connection in
            let sql = "SELECT id::text, name FROM business.users"
            var rows = try await connection.rows(Statement(name: "drill_rows", sql: sql)) {
                columns throws(PostgresError) in
                (try columns.next(String.self), try columns.next(String.self))
            }
            var result: [String: String] = [:]
            while let (id, name) = try rows.next() { result[id] = name }
            return result
        }
    }

    /// Which copies are not equal to what the devices know, after some more syncs.
    private func differences() async throws -> [String] {
        for _ in 0..<Self.syncsToEquality { for device in devices { try await device.sync() } }
        let expected = try await expected().compactMapValues(\.name)
        var faults = Self.differences(of: "PostgreSQL", try await served(), expected)
        for device in devices {
            faults += Self.differences(of: device.name, try await device.shown(), expected)
        }
        return faults
    }

    /// Where a copy is not what the devices wrote.
    private static func differences(
        of copy: String, _ rows: [String: String], _ expected: [String: String]
    ) -> [String] {
        Set(rows.keys).union(expected.keys).sorted().compactMap { id in
            guard rows[id] != expected[id] else { return nil }
            return "\(copy) has \(rows[id] ?? "no row \(id)"), not \(expected[id] ?? "no row")"
        }
    }

    private func verify() async throws -> [String] {
        try await withConnection(to: stack.address.database) { connection in
            var faults: [String] = []
            _ = try await Verifier(connection: connection, user: nil, table: nil).run { found in
                faults += found.map { "oversync verify: \($0)" }
            }
            return faults
        }
    }

    /// What an operation gives; nil if it takes longer.
    private static func within<Value: Sendable>(
        _ limit: Duration, _ operation: @escaping @Sendable () async -> Value?
    ) async -> Value? {
        await withTaskGroup(of: Value?.self) { tasks in
            tasks.addTask { await operation() }
            tasks.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            defer { tasks.cancelAll() }
            return await tasks.next() ?? nil
        }
    }
}
