import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Servers that lose changes without a new epoch: a promoted standby, a restore that nobody
/// declared (promise P7).
@Suite struct HistoryTests {
    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    private func rows(_ device: Device) throws -> [String] {
        try device.lines("SELECT id, name FROM users ORDER BY id").map { String($0.dropFirst(35)) }
    }

    private func insert(_ numbers: ClosedRange<Int>, _ device: Device) throws {
        for number in numbers {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [key(number)])
        }
    }

    private func history(_ device: Device) throws -> HistoryPair? {
        try device.database.read { try DeviceStateTable(db: $0).read().history }
    }

    private func reread(_ events: AsyncStream<SyncEvent>) async -> RereadReport? {
        for await event in events {
            if case .reread(let report) = event { return report }
        }
        return nil
    }

    @Test(
        "P7: what a promoted standby lacks is sent again, whether the log has grown past it or not",
        arguments: [0, 2, 5])
    func lost(grown: Int) async throws {
        let device = try Device()
        try insert(1...2, device)
        try await device.sync()
        try insert(3...4, device)
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try device.execute("DELETE FROM users WHERE id = ?", [key(2)])
        try await device.sync()
        #expect(try history(device)?.sequence == 6)
        device.gateway.fork(atSequence: 2)
        for number in 0..<grown {
            device.gateway.write("users", key(20 + number), payload(20 + number, "other"))
        }
        let events = device.engine.events
        // One that waits is not lost either.
        try insert(5...5, device)
        try await device.sync()
        let report = await reread(events)
        #expect(report == RereadReport(reason: .newHistory, resentRows: 4, removedRows: 0))
        let others = (0..<grown).map { "\(20 + $0)|other" }
        let all = ["01|b", "03|a", "04|a", "05|a"] + others
        #expect(
            try device.lines("SELECT id, name FROM users ORDER BY id").map {
                String($0.dropFirst(34))
            } == all)
        #expect(Set(device.gateway.rows("users").keys).count == all.count)
        #expect(device.gateway.rows("users")[key(1)] == payload(1, "b"))
        #expect(try device.queue() == [])
        #expect(try history(device)?.sequence == Int64(device.gateway.logCount()))
    }

    /// Of several lost versions of a row the newest one comes back, no matter which device comes
    /// first: a device that knew an older one does not send that over it, and a deletion is one
    /// too.
    @Test(
        "P7: devices that knew different versions of a lost row agree on the newest one",
        arguments: [true, false], [0, 1])
    func newestVersion(newestFirst: Bool, kept: Int) async throws {
        let gateway = InMemoryGateway()
        let newest = try Device("newest", gateway)
        let older = try Device("older", gateway)
        try insert(1...3, newest)
        try await newest.sync()
        try newest.execute("UPDATE users SET name = 'b'")
        try await newest.sync()
        try await older.sync()
        try newest.execute("UPDATE users SET name = 'c' WHERE id = ?", [key(1)])
        try newest.execute("DELETE FROM users WHERE id = ?", [key(2)])
        try await newest.sync()
        gateway.fork(atSequence: kept)
        for device in newestFirst ? [newest, older] : [older, newest] {
            try await device.sync()
        }
        for device in [older, newest, older] { try await device.sync() }
        for device in [newest, older] {
            #expect(
                try device.lines("SELECT id, name FROM users ORDER BY id").map {
                    String($0.dropFirst(34))
                } == ["01|c", "03|b"])
            #expect(try device.queue() == [])
        }
        #expect(gateway.rows("users").keys.sorted() == [key(1), key(3)])
        #expect(gateway.rows("users")[key(1)] == payload(1, "c"))
    }

    @Test("A resent row is replaced by a newer version that the answer brings")
    func newerOnTheWay() async throws {
        let gateway = InMemoryGateway()
        let newest = try Device("newest", gateway)
        let older = try Device("older", gateway)
        try insert(1...1, newest)
        try await newest.sync()
        try await older.sync()
        try newest.execute("UPDATE users SET name = 'b'")
        try await newest.sync()
        gateway.fork(atSequence: 0)
        // It has read again, and not yet sent.
        try await older.engine.fetchChanges()
        try await newest.sync()
        try await older.sync()
        try await newest.sync()
        for device in [newest, older] { #expect(try rows(device) == ["1|b"]) }
    }

    @Test("An upload of another history changes nothing there before the device has read it again")
    func uploadIsRefused() async throws {
        let device = try Device()
        try insert(1...1, device)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b' WHERE id = ?", [key(1)])
        try await device.sync()
        device.gateway.fork(atSequence: 1)
        device.gateway.write("users", key(1), payload(1, "there"))
        // Based on a version 2 that is another one there: it would replace that without a conflict.
        try device.execute("UPDATE users SET age = 7 WHERE id = ?", [key(1)])
        try await device.engine.sendChanges()
        #expect(try rows(device) == ["1|there"])
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"there","age":7}"#)
    }

    @Test("A device that a failover took nothing from reads nothing again")
    func untouched() async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        try insert(1...2, device)
        // The second time it reads past its own changes.
        for _ in 1...2 { try await device.sync() }
        gateway.write("users", key(9), payload(9, "elsewhere"))
        gateway.fork(atSequence: 2)
        gateway.write("users", key(8), payload(8, "new"))
        let before = gateway.requests.count
        try await device.sync()
        let after = gateway.requests.dropFirst(before).filter { $0.query["after"] == "0" }
        #expect(after.isEmpty)
        #expect(try rows(device) == ["1|a", "2|a", "8|new"])
    }

    @Test("A device that starts up learns of it before it asks for a page")
    func atStart() async throws {
        let device = try Device()
        try insert(1...3, device)
        try await device.sync()
        device.gateway.fork(atSequence: 1)
        device.gateway.write("users", key(7), payload(7, "x"))
        device.gateway.write("users", key(8), payload(8, "x"))
        try device.reopen()
        let events = device.engine.events
        try await device.sync()
        #expect(await reread(events)?.resentRows == 2)
        #expect(device.gateway.rows("users").count == 5)
        #expect(try rows(device).count == 5)
    }

    @Test("A first download that a fork interrupts begins again")
    func hydration() async throws {
        let gateway = InMemoryGateway()
        for number in 1...6 { gateway.write("users", key(number), payload(number, "a")) }
        let device = try Device("one", gateway) { $0.pageLimit = 2 }
        gateway.next(.download, .holdAnswer {})
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try rows(device) == ["1|a", "2|a"])
        #expect(try history(device)?.sequence == 6)
        gateway.fork(atSequence: 1)
        for number in 2...7 { gateway.write("users", key(number), payload(number, "b")) }
        try await device.sync()
        #expect(try rows(device) == ["1|a"] + (2...7).map { "\($0)|b" })
    }

    @Test("An answer that was lost tells nothing: its change is pending, and sent again")
    func lostAnswer() async throws {
        let device = try Device()
        try insert(1...1, device)
        try await device.sync()
        try insert(2...2, device)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        device.gateway.fork(atSequence: 1)
        let before = device.gateway.requests.count
        try await device.sync()
        #expect(device.gateway.rows("users").count == 2)
        let zero = device.gateway.requests.dropFirst(before).filter { $0.query["after"] == "0" }
        #expect(zero.isEmpty)
    }

    @Test("A smaller sequence never replaces a larger one")
    func largest() async throws {
        let device = try Device()
        try insert(1...3, device)
        try await device.sync()
        let pair = try #require(try history(device))
        #expect(pair.sequence == 3)
        try await device.database.write { db in
            let table = DeviceStateTable(db: db)
            try table.record(HistoryPair(sequence: 2, tag: 1))
            try table.record(nil)
            #expect(try table.read().history == pair)
            try table.record(HistoryPair(sequence: 4, tag: .max))
            #expect(try table.read().history == HistoryPair(sequence: 4, tag: .max))
        }
    }

    @Test("The pair goes in the transaction that begins the reread, and stays after other reasons")
    func begin() throws {
        let device = try Device()
        try device.database.write { db in
            let table = DeviceStateTable(db: db)
            let pair = HistoryPair(sequence: 4, tag: 5)
            try table.record(pair)
            try table.beginReread(.historyPruned, epoch: nil)
            #expect(try table.read().history == pair)
            try table.beginReread(.newHistory, epoch: nil)
            #expect(try table.read().history == nil)
        }
    }

    /// ```
    /// first server    1 2 3 ──────────────── asked ─────────────── asked
    /// second server   1 2 3' ─── asked ────────────── asked
    /// device            rereads ┘   refused ┘   refused ┘   rereads, 10 minutes later
    /// ```
    @Test("Two servers that both serve make no device read for ever")
    func splitBrain() async throws {
        let device = try Device()
        try insert(1...3, device)
        for _ in 1...2 { try await device.sync() }
        func fork() {
            device.gateway.fork(atSequence: 2)
            device.gateway.write("users", key(7), payload(7, UUID().uuidString))
        }
        func zeros() -> Int {
            device.gateway.requests.filter {
                $0.path.hasSuffix("download") && $0.query["after"] == "0"
            }.count
        }
        let first = zeros()
        fork()
        try await device.sync()
        #expect(zeros() == first + 1)
        fork()
        for _ in 1...2 {
            let error = await #expect(throws: SyncError.self) { try await device.sync() }
            guard case .refused(409, "history_forked", _)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(error?.retriesByItself == true && error?.advice == .wait)
        }
        try device.reopen()
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(zeros() == first + 1)
        device.clock.advance(seconds: HistoryRules.pause)
        try await device.sync()
        #expect(zeros() == first + 2)
        #expect(device.gateway.rows("users").count == 4)
    }

    @Test(
        "Where the server cannot tell any more the device reads again, and deletes stay deleted",
        arguments: [false, true])
    func unproven(isRestarted: Bool) async throws {
        let gateway = InMemoryGateway()
        let device = try Device("one", gateway)
        try insert(1...2, device)
        try await device.sync()
        // While it is away its last change is replaced, and the log is compacted.
        gateway.write("users", key(2), payload(2, "b"))
        gateway.write("users", key(3), payload(3, "c"))
        gateway.compact()
        let events = device.engine.events
        try await device.sync()
        #expect(
            await reread(events)
                == RereadReport(reason: .newHistory, resentRows: 0, removedRows: 0))
        #expect(try rows(device) == ["1|a", "2|b", "3|c"])

        // The same below the floor.
        gateway.write("users", key(3), payload(3, "d"))
        gateway.write("users", key(1), nil)
        gateway.write("users", key(4), payload(4, "e"))
        gateway.compact()
        // A process that begins asks what the server knows of it, before it downloads.
        if isRestarted { try device.reopen() }
        let more = device.engine.events
        try await device.sync()
        #expect(
            await reread(more)
                == RereadReport(reason: .historyPruned, resentRows: 0, removedRows: 1))
        #expect(try rows(device) == ["2|b", "3|d", "4|e"])
        #expect(gateway.rows("users").count == 3)
    }

    @Test("A gateway that knows no histories is served as ever")
    func olderGateway() async throws {
        let gateway = InMemoryGateway()
        gateway.actLikeOlderServer()
        let device = try Device("one", gateway)
        try insert(1...2, device)
        try await device.sync()
        #expect(try history(device) == nil)
        #expect(gateway.rows("users").count == 2)
    }

    @Test("A header that is not a pair says nothing")
    func malformed() {
        for text in [
            "", "5", "5-", "-5", "0-0000000000000001", "5-1", "-5-0000000000000001",
            "5-000000000000000g", "5-00000000000000001", "9223372036854775808-0000000000000001",
            "9007199254740992-0000000000000001",
        ] {
            #expect(HistoryPair(text: text) == nil, "\(text)")
        }
        let pair = HistoryPair(sequence: ProtocolNumber.maximum, tag: 0xAB)
        #expect(pair.text == "9007199254740991-00000000000000ab")
        #expect(HistoryPair(text: pair.text) == pair)
        #expect(HistoryPair(text: "5-ABCDEF0123456789")?.tag == 0xABCD_EF01_2345_6789)
    }

    @Test("When a reread begins, is put off, or is not needed")
    func rules() {
        func decide(_ finding: HistoryFinding, _ isRereading: Bool, _ last: Double)
            -> HistoryRules.Action
        {
            HistoryRules.decide(
                finding, isRereading: isRereading, lastReread: last, now: 10_000)
        }
        #expect(decide(.forked, false, 0) == .reread)
        #expect(decide(.forked, true, 0) == .reread)
        #expect(decide(.forked, false, 9_999) == .wait)
        #expect(decide(.forked, true, 9_400.5) == .wait)
        #expect(decide(.forked, false, 9_400) == .reread)
        // The clock was set back.
        #expect(decide(.forked, false, 10_001) == .reread)
        #expect(decide(.unproven, false, 0) == .reread)
        #expect(decide(.unproven, false, 9_999) == .forget)
        #expect(decide(.unproven, true, 9_999) == .forget)
    }
}
