import Foundation
import GRDB
import OperatorKit
import OverSQLite

/// The main job on real data: two devices of one user and one of another, through HTTPS, until all agree.
package struct DemoRun {
    /// Rounds after which devices that still exchange changes would never stop.
    private static let maximumRounds = 10

    private let server: DemoServer
    private let people: DemoPeople
    private let first: DemoDevice
    private let second: DemoDevice
    private let other: DemoDevice
    private let narrator: Narrator

    /// - Parameter folder: where the devices' files are kept from run to run.
    package init(
        server: DemoServer, people: DemoPeople = .regulars, folder: String,
        say: @escaping @Sendable (String) -> Void
    ) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        self.server = server
        self.people = people
        first = try DemoDevice("phone", user: people.user, folder: folder, server: server)
        second = try DemoDevice("laptop", user: people.user, folder: folder, server: server)
        other = try DemoDevice("tablet", user: people.stranger, folder: folder, server: server)
        narrator = Narrator(say: say)
    }

    /// Runs everything.
    ///
    /// - Returns: whether all copies are equal and the other user has no rows.
    package func run() async throws -> Bool {
        do {
            let isEqual = try await play()
            try await close()
            return isEqual
        } catch {
            try? await close()
            throw error
        }
    }

    private func close() async throws {
        for device in [first, second, other] { try await device.transport.shutdown() }
    }

    private func play() async throws -> Bool {
        try await importOnFirst()
        try await narrator.measure("\(second.name): hydrates", second) {
            try await second.sync(say: narrator.say)
        }
        try await editOffline()
        try await syncUntilQuiet()
        try await narrator.measure("\(other.name) of \(people.stranger): syncs", other) {
            try await other.sync(say: narrator.say)
        }
        return try await proveEqual()
    }

    private func importOnFirst() async throws {
        narrator.say(
            "\(first.name): catches up with the server, then imports the ISO code lists of \(ISOCodes.folder)"
        )
        try await first.sync(say: narrator.say)
        for (table, rows) in try Import(codes: try ISOCodes(), database: first.database).run() {
            narrator.say("  \(table): \(rows) new rows")
        }
        let (waiting, before) = (try first.pendingCount(), first.transport.total.rowsSent)
        try await narrator.measure("\(first.name): sends", first) {
            try await first.sync(say: narrator.say)
        }
        let sent = first.transport.total.rowsSent - before
        guard sent >= waiting else {
            throw StackError("\(waiting) rows were waiting, but only \(sent) were sent")
        }
    }

    private func editOffline() async throws {
        let run = Int(Date().timeIntervalSince1970)
        try await first.database.write { try OfflineEdits.onFirst($0, run: run) }
        try await second.database.write { try OfflineEdits.onSecond($0, run: run) }
        narrator.say(
            "both edit offline: \(try first.pendingCount()) rows wait on \(first.name), "
                + "\(try second.pendingCount()) on \(second.name)")
    }

    private func syncUntilQuiet() async throws {
        for round in 1...Self.maximumRounds {
            let before = try [first.digests(), second.digests()]
            for device in [first, second] {
                try await narrator.measure("round \(round), \(device.name)", device) {
                    try await device.sync(say: narrator.say)
                }
            }
            let waiting = try first.pendingCount() + second.pendingCount()
            if waiting == 0, try before == [first.digests(), second.digests()] { return }
        }
        throw StackError("the devices still exchange changes after \(Self.maximumRounds) rounds")
    }

    private func proveEqual() async throws -> Bool {
        let onFirst = try first.digests()
        let onSecond = try second.digests()
        var copies = [onFirst, onSecond]
        if let database = server.database {
            copies.append(
                try await ServerSide(database: database, schema: server.schema)
                    .digests(user: people.user))
        }
        var isEqual = true
        narrator.say(
            "\ntable           rows  digest on \(first.name), \(second.name)"
                + (server.database == nil ? "" : ", in PostgreSQL"))
        for table in DemoTables.names {
            let digests = copies.compactMap { $0[table] }
            let agrees = digests.count == copies.count && Set(digests).count == 1
            isEqual = isEqual && agrees
            let rows = String(digests.first?.rows ?? 0)
            narrator.say(
                table.padding(toLength: 14, withPad: " ", startingAt: 0)
                    + String(repeating: " ", count: max(0, 6 - rows.count)) + rows + "  "
                    + digests.map(\.hex).joined(separator: " ")
                    + (agrees ? "  equal" : "  DIFFERENT"))
        }
        let strangers = try other.rowCount()
        narrator.say("\(other.name) of \(people.stranger): \(strangers) rows")
        let isProven = try await compareDigests()
        return isEqual && strangers == 0 && isProven
    }

    /// Each device compares the digests of what it received with the server's log.
    private func compareDigests() async throws -> Bool {
        var isEqual = true
        for device in [first, second, other] {
            let report = try await device.engine.verify()
            isEqual = isEqual && report.isEqual
            guard !report.isEqual else {
                narrator.say("\(device.name): its digests are those of the server's log")
                continue
            }
            for table in report.tables where table.outcome != .equal {
                narrator.say("\(device.name): DIFFERENT from the server's log: \(table)")
            }
        }
        return isEqual
    }
}
