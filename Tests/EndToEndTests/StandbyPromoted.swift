import Foundation
import GRDB
import LocalPostgres
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import Testing

@Suite("Standby promoted", .timeLimit(.minutes(5)))
struct StandbyPromoted {
    /// ```
    /// phone     writes 1…20 ─ syncs ─ writes, edits, deletes ─ syncs ──────── sends again
    /// laptop                  syncs ─────────────────────────── syncs ─ edits ─ syncs
    /// tablet                                                           writes ─ syncs first
    /// primary   ──────────────────────────────────────────────────── killed
    /// standby             follows ─┤ cut off                              promoted
    /// ```
    @Test(
        "P7, H5: what an asynchronous standby did not get comes back from the devices",
        arguments: [0, 3, 40])
    func promoted(writtenBefore: Int) async throws {
        try await withStack { stack, postgres in
            let folder = stack.sockets + "-devices"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let phone = try await RestoredDevice("phone", stack, transport, folder)
            let laptop = try await RestoredDevice("laptop", stack, transport, folder)
            let tablet = try await RestoredDevice("tablet", stack, transport, folder)
            for number in 1...20 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }

            let standby = try await postgres.startStandby(directory: folder + "/standby")
            try await Self.expectReplay(of: postgres, on: standby)
            try await standby.stop()
            for number in 21...30 { try phone.insert(number) }
            try phone.write { db in
                try db.execute(sql: "UPDATE users SET name = 'edited' WHERE name IN ('1', '2')")
                try db.execute(sql: "DELETE FROM users WHERE name = '3'")
            }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let confirmed = try phone.rows()
            #expect(try laptop.rows() == confirmed)
            try await postgres.kill()
            try await standby.start()
            try await standby.promote(inPlaceOf: postgres)

            // The log grows again, to before, to about, and to beyond its former end.
            for number in 0..<writtenBefore { try tablet.insert(100 + number) }
            try await tablet.syncUntilAnswered()
            let events = phone.engine.events
            try laptop.write { db in
                try db.execute(sql: "UPDATE users SET name = 'offline' WHERE name = '25'")
            }
            for device in [phone, laptop, phone, tablet, laptop] {
                try await device.syncUntilAnswered()
            }
            for device in [phone, laptop, tablet] { try await device.expectEquality() }
            try await transport.shutdown()
            let report = await Self.reread(events)
            #expect(report?.reason == .newHistory)
            #expect(report?.resentRows == 13)
            let end = try phone.rows()
            for device in [laptop, tablet] { #expect(try device.rows() == end) }
            let others = (0..<writtenBefore).map { "\(100 + $0)" }
            #expect(
                end == (confirmed.map { $0 == "25" ? "offline" : $0 } + others).sorted())
            try await withConnection(to: stack.database) { connection in
                let names = try await connection.run(
                    Command(
                        Statement(
                            name: "names",
                            sql: "SELECT name FROM business.users ORDER BY name COLLATE \"C\"")))
                #expect(try (0..<names.rowCount).map { try names.string($0, 0) } == end)
            }
        }
    }

    private static func reread(_ events: AsyncStream<SyncEvent>) async -> RereadReport? {
        for await event in events {
            if case .reread(let report) = event { return report }
        }
        return nil
    }

    /// Returns when the standby has all that was committed until now.
    private static func expectReplay(
        of primary: LocalPostgres, on standby: LocalPostgres
    ) async throws {
        let position = try await withConnection(to: primary.connectionURL()) {
            try await $0.run(
                Command(
                    Statement(name: "position", sql: "SELECT pg_current_wal_flush_lsn()::text"))
            ).string(0, 0)
        }
        try await withConnection(to: standby.connectionURL()) { connection in
            let replayed = Command(
                Statement(
                    name: "replayed",
                    sql: "SELECT pg_last_wal_replay_lsn() >= '\(position)'::pg_lsn"))
            let deadline = ContinuousClock.now + .seconds(30)
            while try await !connection.run(replayed).bool(0, 0) {
                try #require(.now < deadline, "the standby does not follow")
            }
        }
    }
}

extension RestoredDevice {
    /// Writes a row of this name.
    func insert(_ number: Int) throws {
        try write { db in
            try db.execute(
                sql: "INSERT INTO users (id, name) VALUES (?, ?)",
                arguments: [UUID().uuidString.lowercased(), "\(number)"])
        }
    }
}
