import Foundation
import GRDB
import GatewayAccess
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import SeededRandom

/// An app's device, whose engine syncs in the background while the app writes.
///
/// It edits rows of its own, so that what must be there at the end is known, and rows that all
/// devices of its user and the back end edit.
actor SoakDevice {
    /// Where it lives, and how it reaches the gateway.
    struct Place: Sendable {
        let folder: String
        /// Through the network.
        let gateway: URL
        /// Changes in one upload.
        let uploadLimit: Int
        let authority: String
        let access: GatewayAccess
    }

    /// Rows of its own beyond which it deletes more than it inserts: a run has no end, its tables
    /// have.
    private static let ownRows = 200
    /// Between two writes.
    private static let pause = 100...500
    /// Writes in one transaction.
    private static let burst = 1...5
    /// How often a device does something other than write: one time in this many.
    private static let rarely = 40
    /// How long a device without a network or an app that is closed stays so, in milliseconds.
    private static let absence = 200...3000
    /// Seconds for a request and its answer: longer than the long poll.
    private static let requestTimeout: Int64 = 20

    nonisolated let name: String
    nonisolated let user: SoakUser
    private let place: Place
    private var random: SeededGenerator
    private var app: App
    /// Its own rows as it wrote them last: the row's text by table and key.
    private(set) var own: [String: String] = [:]
    private(set) var transactions = 0
    private(set) var restarts = 0

    /// The app while it is open.
    private struct App {
        let database: DatabasePool
        let engine: SyncEngine
        let transport: AsyncHTTPTransport
        let events: Task<Void, Never>
    }

    private let alarms: Alarms

    init(_ name: String, user: SoakUser, place: Place, seed: UInt64) async throws {
        self.name = name
        self.user = user
        self.place = place
        random = SeededGenerator(seed: seed)
        alarms = Alarms(shared: user.sharedKeys)
        app = try await Self.open(name, user.name, place, alarms)
    }

    /// Writes until the time is over, in the presence of a background loop that syncs.
    func live(until isOver: @Sendable () -> Bool) async throws {
        while !isOver() {
            switch Int.random(in: 0..<Self.rarely, using: &random) {
            case 0: try await restart()
            case 1: try await beOffline()
            default: try await write()
            }
            let pause = Int.random(in: Self.pause, using: &random)
            try await Task.sleep(for: .milliseconds(pause))
        }
    }

    // MARK: The app

    private static func open(
        _ name: String, _ user: String, _ place: Place, _ alarms: Alarms
    ) async throws -> App {
        let database = try DatabasePool(path: "\(place.folder)/\(name).db")
        try await database.write { try $0.execute(sql: SoakTables.deviceSchema) }
        let transport = try AsyncHTTPTransport(
            trusting: place.authority, timeout: requestTimeout)
        var configuration = SyncConfiguration(gateway: place.gateway, schema: SoakTables.schema)
        configuration.transport = transport
        configuration.longPoll = 5
        configuration.uploadLimit = place.uploadLimit
        // A soak is short; an app's pauses of a minute would be most of it.
        configuration.backoff = 0.1...2
        let access = place.access
        let engine = try SyncEngine(
            for: database, tables: SoakTables.synced, configuration: configuration,
            credentials: { try await access.token(user: user, device: name) })
        let events = engine.events
        let following = Task { for await event in events { alarms.see(event) } }
        try await engine.start()
        return App(
            database: database, engine: engine, transport: transport, events: following)
    }

    private func close() async throws {
        await app.engine.stop()
        app.events.cancel()
        try await app.transport.shutdown()
        try app.database.close()
    }

    /// The app ends in the midst of whatever it does, and is opened again.
    private func restart() async throws {
        try await close()
        try await beAway()
        app = try await Self.open(name, user.name, place, alarms)
        restarts += 1
    }

    private func beOffline() async throws {
        await app.engine.stop()
        try await write()
        try await beAway()
        try await app.engine.start()
    }

    private func beAway() async throws {
        let milliseconds = Int.random(in: Self.absence, using: &random)
        try await Task.sleep(for: .milliseconds(milliseconds))
    }

    // MARK: Edits

    private func write() async throws {
        var edits = Edits(
            device: name, shared: user.sharedKeys, own: own, random: random, most: Self.ownRows)
        for _ in 0..<Int.random(in: Self.burst, using: &random) { edits.add() }
        random = edits.random
        try await app.database.write { [edits] db in
            for statement in edits.statements {
                try db.execute(sql: statement.sql, arguments: statement.arguments)
            }
        }
        own = edits.own
        transactions += 1
    }

    // MARK: The end

    /// Stops syncing in the background, and from then on when asked.
    func stop() async { await app.engine.stop() }

    /// Sends and fetches everything, as soon as the gateway takes it.
    ///
    /// - Throws: the engine's last error if it takes too long.
    func sync(until end: ContinuousClock.Instant) async throws {
        while true {
            do {
                try await app.engine.syncChanges()
                if app.engine.status.isSynced { return }
                throw StackError("\(name) still has \(app.engine.status)")
            } catch  where .now < end {
                try await Task.sleep(for: .milliseconds(Self.pause.upperBound))
            }
        }
    }

    /// What its app shows: the row's text by table and key.
    func shown() async throws -> [String: String] {
        try await app.database.read { db in
            let rows = try Row.fetchAll(db, sql: SoakTables.deviceRows)
            return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[1]) })
        }
    }

    /// Compares all rows. A connection of before the network was good may end yet.
    private func compare(until end: ContinuousClock.Instant) async throws -> VerifyReport {
        while true {
            do { return try await app.engine.verify(deep: true) } catch let error as SyncError {
                guard .now < end else { throw error }
                try await Task.sleep(for: .milliseconds(Self.pause.upperBound))
            }
        }
    }

    /// The rejections that it has reported, with what the rule says of each.
    var rejections: [(RejectedChange, RejectionRule.Verdict)] {
        let rejections = alarms.rejections
        return Array(zip(rejections, RejectionRule.judge(rejections)))
    }

    /// What is wrong, after it was synced.
    func faults(until end: ContinuousClock.Instant) async throws -> [String] {
        var faults = alarms.texts
        for (change, verdict) in rejections where verdict == .unexplained {
            faults.append("was rejected, and nothing explains it: \(change)")
        }
        for change in try await app.engine.rejectedChanges {
            faults.append("is still rejected: \(change)")
        }
        for row in try await app.engine.heldRows { faults.append("is still held: \(row)") }
        let pending = app.engine.status.pendingCount
        if pending > 0 { faults.append("\(pending) rows are still pending") }
        let report = try await compare(until: end)
        for table in report.tables where table.outcome != .equal {
            faults.append("digest of \(table)")
        }
        return faults.map { "\(name): \($0)" }
    }

    func end() async throws { try await close() }
}
