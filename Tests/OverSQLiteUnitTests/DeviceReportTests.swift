import Foundation
import GRDB
import OverSQLiteTestSupport
import Synchronization
import Testing

@testable import OverSQLite

/// What a device tells the server of itself (R109).
@Suite struct DeviceReportTests {
    /// Passes requests on, and remembers what they said.
    private final class Listening: HTTPTransport {
        let gateway: InMemoryGateway
        private let seen = Mutex<[(path: String, report: String?)]>([])

        init(_ gateway: InMemoryGateway) { self.gateway = gateway }

        func send(_ request: TransportRequest) async throws -> TransportResponse {
            seen.withLock {
                $0.append((request.url.lastPathComponent, request.headers["Oversync-Report"]))
            }
            return try await gateway.send(request)
        }

        var canStream: Bool { false }

        func stream(
            _ request: TransportRequest,
            _ receive: @escaping @Sendable (TransportPart) async throws -> Void
        ) async throws {}

        /// The reports since the last look, with the requests that they came with.
        func take() -> [(path: String, report: String)] {
            let all = seen.withLock { seen in
                defer { seen = [] }
                return seen
            }
            return all.compactMap { path, report in report.map { (path, $0) } }
        }
    }

    private func make(
        adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) throws -> (Device, Listening) {
        let gateway = InMemoryGateway()
        let transport = Listening(gateway)
        let device = try Device("one", gateway) {
            $0.transport = transport
            adjust(&$0)
        }
        return (device, transport)
    }

    @Test("R109: with uploads, and otherwise every five minutes; what it says is as it is")
    func pace() async throws {
        let (device, transport) = try make { $0.appVersion = "2.0 \"ä\"" }
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'secret')", [key(1)])
        device.gateway.refuse("users", key(1), reason: "bad_payload")
        try await device.sync()
        let first = transport.take()
        #expect(first.map(\.path) == ["bootstrap"])
        let report = try #require(first.first?.report)
        for part in [
            "sdk=\"OverSQLite 0.1.0\"", "app=\"2.0 ???\"", "schema=\"business\"", "pending=1",
            "rejected=0", "held=0", "oldest=", "at=1000000", "cursor=0",
        ] {
            #expect(report.contains(part), "\(part) is not in \(report)")
        }
        #expect(!report.contains("secret") && report.utf8.count < 1024)
        // Too soon, with or without an upload.
        device.clock.advance(seconds: 29)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(2)])
        try await device.sync()
        #expect(transport.take().isEmpty)
        device.clock.advance(seconds: 1)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(3)])
        try await device.sync()
        let second = transport.take()
        #expect(second.map(\.path) == ["upload"])
        #expect(second.first?.report.contains("rejected=1, ") == true)
        #expect(second.first?.report.contains("reason=\"bad_payload\"") == true)
        device.clock.advance(seconds: 299)
        try await device.engine.fetchChanges()
        #expect(transport.take().isEmpty)
        device.clock.advance(seconds: 1)
        try await device.engine.fetchChanges()
        #expect(transport.take().map(\.path) == ["download"])
    }

    @Test("R109: a report that was not taken goes again with the next request")
    func again() async throws {
        let (device, transport) = try make()
        device.gateway.next(.bootstrap, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try await device.sync()
        let reports = transport.take()
        #expect(reports.count == 2)
        #expect(reports.last?.report.contains("error=\"unreachable\"") == true)
    }

    @Test("R109: an app can switch reports off")
    func optOut() async throws {
        let (device, transport) = try make { $0.reports = false }
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try await device.sync()
        #expect(transport.take().isEmpty)
    }

    @Test("R109: a queue of the format before says no age, and of a damaged one nothing traps")
    func age() async throws {
        let (device, _) = try make()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        _ = try await device.engine.pendingChanges()
        try device.execute(
            "ALTER TABLE _sync_pending DROP COLUMN added; UPDATE _sync_state SET format = 10")
        try device.reopen()
        #expect(try device.count("SELECT format FROM _sync_state") == MetadataTables.format)
        func oldest() async throws -> Int64? {
            try await device.database.read { try PendingQueue(db: $0).totals().oldest }
        }
        #expect(try await oldest() == nil)
        for (value, age) in [("strftime('%s', 'now') - 100", 100...110), ("'x'", 0...Int64.max)] {
            try device.execute("UPDATE _sync_pending SET added = \(value)")
            let found = try #require(try await oldest())
            #expect(age.contains(found), "\(value)")
        }
    }

    @Test("What is long or strange is cut and replaced: a report is always one, of less than 1 kB")
    func bounds() {
        var report = DeviceReport()
        let long = String(repeating: "\u{1F600}\"\\\r\n", count: 500)
        (report.app, report.schema, report.reason, report.error) = (long, long, long, long)
        report.epoch = long
        report.notices = (1...100).map {
            SyncNotice(.unservedTable, of: "table \($0)", "m", advice: "a")
        }
        (report.cursor, report.pending, report.time) = (.max, .max, .min)
        let header = report.header
        #expect(header.utf8.count < 1024, "\(header.utf8.count)")
        #expect(header.utf8.allSatisfy { 0x20...0x7E ~= $0 })
        #expect(header.contains("notices=\"unserved_table:table_1 unserved_table:table_2"))
    }
}
