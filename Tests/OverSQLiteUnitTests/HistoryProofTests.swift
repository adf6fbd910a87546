import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Promise P7: the server has compacted the change away by which a device proves that it knows its
/// history. The rows themselves are the proof then.
///
/// ```
/// device    1 2 ── away ────────────── asks for news of 2 ── reads on, compares ── sends
/// server    1 2 ── 2 is replaced, and compacted away ── cannot tell
/// ```
@Suite("P7: rows prove what the server cannot")
struct HistoryProofTests {
    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    private func rows(_ device: Device) throws -> [String] {
        try device.lines("SELECT id, name FROM users ORDER BY id").map {
            String($0.dropFirst(35))
        }
    }

    /// How often the log was read from its start.
    private func readings(_ device: Device) -> Int {
        device.gateway.requests.filter {
            $0.path.hasSuffix("download") && $0.query["after"] == "0"
        }.count
    }

    /// The endpoints that were asked since.
    private func asked(_ device: Device, since count: Int) -> [String] {
        device.gateway.requests.dropFirst(count).compactMap {
            $0.path.split(separator: "/").last.map(String.init)
        }
    }

    /// A device with two rows of its own and ten of the server's, of which the last change was
    /// compacted away while an edit waits on the device.
    private func away() async throws -> Device {
        let device = try Device()
        for number in 11...20 { device.gateway.write("users", key(number), payload(number, "n")) }
        try device.execute(
            "INSERT INTO users (id, name) VALUES (?, 'a'), (?, 'a')", [key(1), key(2)])
        try await device.sync()
        device.gateway.write("users", key(2), payload(2, "b"))
        device.gateway.write("users", key(3), payload(3, "c"))
        device.gateway.compact()
        try device.execute("UPDATE users SET name = 'mine' WHERE id = ?", [key(11)])
        return device
    }

    @Test("Where the server cannot tell any more, equal rows prove it, and nothing is read again")
    func equal() async throws {
        let device = try await away()
        let before = readings(device)
        try await device.sync()
        #expect(readings(device) == before)
        // The row that the device wrote itself is compared by its contents.
        let bodies = device.gateway.requests.filter { $0.path.hasSuffix("rows") }.map(\.body)
        #expect(bodies.count == 1 && bodies[0].contains(key(1)) && !bodies[0].contains(key(2)))
        #expect(try await device.engine.settledConflicts.isEmpty)
        #expect(try rows(device).prefix(4) == ["1|a", "2|b", "3|c", "1|mine"])
        #expect(device.gateway.rows("users")[key(11)]?.contains("mine") == true)
        let report = try await device.engine.verify(deep: true)
        #expect(report.tables.first?.outcome == .equal)
    }

    @Test("Nothing is sent before the rows are compared, not by the next process either")
    func order() async throws {
        let device = try await away()
        let start = device.gateway.requests.count
        device.gateway.next(.digest, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.engine.syncChanges() }
        await #expect(throws: SyncError.self) {
            device.gateway.next(.digest, .loseRequest)
            try await device.engine.sendChanges()
        }
        try device.reopen()
        await #expect(throws: SyncError.self) {
            device.gateway.next(.digest, .loseRequest)
            try await device.engine.sendChanges()
        }
        #expect(!asked(device, since: start).contains("upload"))
        try await device.engine.sendChanges()
        let order = asked(device, since: start).filter { ["upload", "rows"].contains($0) }
        #expect(order == ["rows", "upload"])
        #expect(device.gateway.rows("users")[key(11)]?.contains("mine") == true)
    }

    @Test("A server that lost rows is found out by them, and gets them back")
    func lost() async throws {
        let device = try Device()
        for number in 1...3 {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
        try await device.sync()
        // It has neither 2 nor 3 any more, and has compacted away what the device could tell by.
        device.gateway.fork(atSequence: 1)
        for name in ["x", "y", "z"] { device.gateway.write("users", key(50), payload(50, name)) }
        device.gateway.compact()
        let events = device.engine.events
        try await device.sync()
        var iterator = events.makeAsyncIterator()
        var report: RereadReport?
        while report == nil, let event = await iterator.next() {
            if case .reread(let found) = event { report = found }
        }
        #expect(report == RereadReport(reason: .newHistory, resentRows: 2, removedRows: 0))
        #expect(device.gateway.rows("users").keys.sorted() == [1, 2, 3, 50].map(key))
        #expect(try await device.engine.verify().tables.first?.outcome == .equal)
    }

    @Test("Of a version that both histories have the server's contents stand, and are reported")
    func sameVersion() async throws {
        let device = try Device()
        try device.execute(
            "INSERT INTO users (id, name) VALUES (?, 'a'), (?, 'a')", [key(1), key(2)])
        try await device.sync()
        device.gateway.fork(atSequence: 0)
        device.gateway.write("users", key(1), payload(1, "theirs"))
        device.gateway.write("users", key(2), payload(2, "x"))
        device.gateway.write("users", key(2), payload(2, "y"))
        device.gateway.compact()
        let before = readings(device)
        try await device.sync()
        #expect(try rows(device) == ["1|theirs", "2|y"])
        #expect(try await device.engine.settledConflicts.map(\.key) == [key(1)])
        #expect(readings(device) == before)
    }

    @Test("A server that does not sum in time is read again")
    func busy() async throws {
        let device = try await away()
        let before = readings(device)
        device.gateway.next(.digest, .answerInstead(status: 503))
        try await device.sync()
        #expect(readings(device) == before + 1)
        #expect(try rows(device).prefix(3) == ["1|a", "2|b", "3|c"])
        #expect(device.gateway.rows("users")[key(11)]?.contains("mine") == true)
    }
}
