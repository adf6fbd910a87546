import Foundation
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Telemetry
import Testing

@testable import UploadService

/// What devices say of themselves, from a request to what an operator sees.
@Suite("Devices' reports")
struct DeviceReportQueueTests {
    private static func withQueue(
        _ body: (SyncedDatabase, DeviceReportQueue, MetricsRegistry) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            let metrics = MetricsRegistry()
            let queue = DeviceReportQueue(
                pool: database.pool, metrics: metrics, logger: SyncedDatabase.logger)
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await body(database, queue, metrics)
        }
    }

    private static func count(_ outcome: String, _ metrics: MetricsRegistry) -> String? {
        let name = "oversync_upload_device_reports_total{outcome=\"\(outcome)\"} "
        return metrics.rendered().split(separator: "\n").first { $0.hasPrefix(name) }
            .map { String($0.dropFirst(name.count)) }
    }

    private static func identity(_ user: String, _ device: String) -> CallerIdentity {
        CallerIdentity(user: user, device: device)
    }

    private static func facts(
        _ user: String, _ device: String, _ database: SyncedDatabase
    ) async throws -> DeviceFacts? {
        try await database.pool.withConnection {
            try await Devices.explain(
                DevicePlace(user: UserID(user), device: DeviceID(device)), on: $0)
        }?.facts
    }

    @Test("The newest of each device is written, in one statement; what is malformed is counted")
    func written() async throws {
        try await Self.withQueue { database, queue, metrics in
            for pending in 1...3 {
                queue.add("pending=\(pending), cursor=1", of: Self.identity("ann", "phone"))
            }
            queue.add("held=2, sdk=\"ä\"", of: Self.identity("ann", "phone"))
            queue.add("held=2, app=\"'; --\"", of: Self.identity("ann", "it's \"one\""))
            // The first that is heard of this user.
            queue.add("pending=1", of: Self.identity("new", "phone"))
            await queue.write()
            #expect(Self.count("written", metrics) == "3")
            #expect(Self.count("malformed", metrics) == "1")
            #expect(Self.count("lost", metrics) == "0")
            let phone = try #require(try await Self.facts("ann", "phone", database))
            #expect(phone.report?.pending == 3 && phone.report?.held == nil)
            let other = try #require(try await Self.facts("ann", "it's \"one\"", database))
            #expect(other.report?.held == 2 && other.report?.app == "'; --")
            #expect(try await Self.facts("new", "phone", database)?.logEnd == 0)
            #expect(try await database.download("new").isEmpty)
            try await database.upload("new", change(1, "INSERT", "notes", id("a2"), "{}"))
            #expect(try await database.feed("new") == ["I notes a2 1"])
            #expect(try await Self.facts("ann", "other", database) == nil)
            // Nothing waits any more.
            await queue.write()
            #expect(Self.count("written", metrics) == "3")
        }
    }

    @Test("A rejected token stands beside what the device said, and neither replaces the other")
    func rejected() async throws {
        try await Self.withQueue { database, queue, metrics in
            func take(_ fill: (inout ReportDeviceRequest) -> Void) throws {
                var request = ReportDeviceRequest()
                fill(&request)
                let context = CallContext(
                    requestID: "t", deadline: .now + .seconds(30),
                    caller: Self.identity("ann", "phone"))
                _ = try queue.take(request, context)
            }
            try take { $0.report = "pending=1" }
            await queue.write()
            try take { $0.rejection = "expired" }
            try take { $0.rejection = String(repeating: "x", count: 65) }
            // A token says of nobody that there is such a user.
            var stranger = ReportDeviceRequest()
            stranger.rejection = "expired"
            _ = try queue.take(
                stranger,
                CallContext(
                    requestID: "t", deadline: .now + .seconds(30),
                    caller: Self.identity("nobody", "phone")))
            await queue.write()
            #expect(Self.count("malformed", metrics) == "1")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM sync.scope WHERE user_id = 'nobody'") == "0")
            let facts = try #require(try await Self.facts("ann", "phone", database))
            #expect(facts.report?.pending == 1 && facts.rejection == "expired")
            #expect(facts.tokenRejected != nil && facts.reported != nil)
            #expect(DeviceDiagnosis(facts).findings.map(\.code) == ["token_rejected"])
        }
    }

    @Test("A device that only reads is listed; revoked and restored it is a device as any other")
    func reader() async throws {
        try await Self.withQueue { database, queue, _ in
            queue.add("cursor=0", of: Self.identity("ann", "tablet"))
            await queue.write()
            let place = DevicePlace(user: "ann", device: DeviceID("tablet"))
            func listed() async throws -> Device? {
                try await database.pool.withConnection {
                    try await Devices.list(of: "ann", limit: 10, on: $0)
                }.first { $0.device == place.device }
            }
            let device = try #require(try await listed())
            #expect(device.lastChangeID == 0 && device.lastUpload == nil && device.revoked == nil)
            #expect(device.report == #"{"cursor":0}"# && device.logEnd == 1)
            for mayAccess in [true, false, true] {
                _ = try await database.pool.withConnection {
                    try await Devices.setAccess(
                        mayAccess, of: place, by: .token("root"), on: $0)
                }
                #expect(try await listed()?.revoked == nil || !mayAccess)
                #expect(try await listed()?.report == #"{"cursor":0}"#)
            }
            let names = try await database.pool.withConnection {
                try await Devices.list(limit: 10, on: $0)
            }.map(\.device.value)
            #expect(names == ["phone", "tablet"])
        }
    }

    @Test("A full queue, and a database that is gone, lose reports, and nothing else")
    func lost() async throws {
        try await Self.withQueue { database, queue, metrics in
            let each = DeviceReportQueue.maximumDevicesPerUser
            for number in 0...DeviceReportQueue.maximumDevices {
                queue.add("pending=1", of: Self.identity("user-\(number / each)", "\(number)"))
            }
            #expect(Self.count("lost", metrics) == "1")
            try await database.execute("ALTER TABLE sync.device_report RENAME TO elsewhere")
            await queue.write()
            #expect(
                Self.count("lost", metrics) == "\(DeviceReportQueue.maximumDevices + 1)")
            try await database.execute("ALTER TABLE sync.elsewhere RENAME TO device_report")
            queue.add("pending=1", of: Self.identity("ann", "phone"))
            await queue.write()
            #expect(Self.count("written", metrics) == "1")
        }
    }

    @Test("The devices of one user do not crowd out those of another")
    func crowd() async throws {
        try await Self.withQueue { database, queue, metrics in
            for number in 0..<(2 * DeviceReportQueue.maximumDevices) {
                queue.add("pending=1", of: Self.identity("ann", "\(number)"))
            }
            queue.add("pending=2", of: Self.identity("bob", "phone"))
            // One that waits already has its place.
            queue.add("pending=3", of: Self.identity("ann", "0"))
            await queue.write()
            let most = DeviceReportQueue.maximumDevicesPerUser
            #expect(Self.count("written", metrics) == "\(most + 1)")
            #expect(
                Self.count("lost", metrics)
                    == "\(2 * DeviceReportQueue.maximumDevices - most)")
            let phone = try #require(try await Self.facts("bob", "phone", database))
            #expect(phone.report?.pending == 2)
            let first = try #require(try await Self.facts("ann", "0", database))
            #expect(first.report?.pending == 3)
        }
    }

    @Test("Compaction forgets devices that are away for longer than deletes are kept")
    func compacted() async throws {
        try await Self.withQueue { database, queue, _ in
            for device in ["old", "new"] { queue.add("held=0", of: Self.identity("ann", device)) }
            await queue.write()
            try await database.execute(
                """
                UPDATE sync.device_report SET reported_at = now() - interval '91 days'
                WHERE device = 'old'
                """)
            let retention = Retention(superseded: 30 * 86_400, tombstones: 90 * 86_400)
            _ = try await Compactor(
                connection: database.sql, retention: retention, isDryRun: true
            ).run()
            let count = "SELECT count(*)::text FROM sync.device_report"
            #expect(try await database.value(count) == "2")
            _ = try await Compactor(connection: database.sql, retention: retention).run()
            #expect(try await database.value("SELECT device FROM sync.device_report") == "new")
        }
    }

    /// ```
    /// phone   cursor 1 ─────────── asks for s ─── s.notes is gone
    /// laptop  ────────── 3 changes
    /// ```
    @Test("The facts of a device: changes of others behind its cursor, its failures, its tables")
    func facts() async throws {
        try await Self.withQueue { database, queue, _ in
            queue.add("cursor=1, schema=\"s\"", of: Self.identity("ann", "phone"))
            await queue.write()
            try await database.upload(
                "ann", device: "laptop", change(1, "INSERT", "notes", id("b1"), "{}"),
                change(2, "INSERT", "tags", "t", "{}"))
            try await database.upload("ann", change(2, "INSERT", "tags", "u", "{}"))
            try await database.execute(
                "ALTER TABLE s.tags ADD CONSTRAINT short CHECK (length(code) < 3)")
            _ = try await database.upload(
                "ann", change(3, "INSERT", "tags", "long", #"{"label":"x"}"#))
            try await database.execute(
                "UPDATE sync.catalog SET removed_at = now() WHERE table_name = 'notes'")
            let facts = try #require(try await Self.facts("ann", "phone", database))
            #expect(facts.waiting == 2 && facts.waitingSince != nil && facts.logEnd == 4)
            #expect(facts.failures == 1 && facts.failedTable == "s.tags")
            #expect(facts.sqlState == "23514")
            #expect(facts.removedTables == ["notes"] && facts.registeredTables == 4)
            let laptop = try #require(try await Self.facts("ann", "laptop", database))
            #expect(laptop.report == nil && laptop.waiting == 0 && laptop.failures == 0)
        }
    }
}
