import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows that a server has lost, and that several devices know in different versions (promise P7).
@Suite struct LostVersionTests {
    private let gateway = InMemoryGateway()

    private func payload(_ number: Int, _ name: String) -> String {
        #"{"id":"\#(key(number))","name":"\#(name)","age":null}"#
    }

    private func insert(_ number: Int, _ name: String, _ device: Device) throws {
        try device.execute("INSERT INTO users (id, name) VALUES (?, ?)", [key(number), name])
    }

    private func rows(_ device: Device) throws -> [String] {
        try device.lines("SELECT id, name, age FROM users ORDER BY id").map {
            String($0.dropFirst(35))
        }
    }

    private func expect(_ expected: [String], at devices: [Device]) throws {
        for device in devices {
            #expect(try rows(device) == expected)
            #expect(try device.queue() == [])
        }
        #expect(gateway.rows("users").count == expected.count)
    }

    @Test("A version of the same number that the server has from elsewhere is reported")
    func sameNumber() async throws {
        let device = try Device("phone", gateway)
        try insert(1, "a", device)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'lost'")
        try await device.sync()
        gateway.fork(atSequence: 1)
        // It has read again, and not yet sent.
        try await device.engine.fetchChanges()
        gateway.write("users", key(1), payload(1, "there"))
        try await device.sync()
        try expect(["1|there|-"], at: [device])
        let reports = try await device.engine.settledConflicts
        #expect(reports.map(\.key) == [key(1)])
    }

    @Test("A row that the app has created again is an edit, and no row that is sent again")
    func createdAgain() async throws {
        let phone = try Device("phone", gateway)
        let laptop = try Device("laptop", gateway)
        try insert(1, "a", phone)
        try await phone.sync()
        try phone.execute("DELETE FROM users")
        try await phone.sync()
        try await laptop.sync()
        try insert(1, "again", phone)
        gateway.fork(atSequence: 1)
        try await phone.engine.fetchChanges()
        for device in [laptop, phone, laptop] { try await device.sync() }
        try expect(["1|again|-"], at: [phone, laptop])
    }

    @Test(
        "A lost deletion is sent again over an older one that the server has",
        arguments: [true, false])
    func olderDeletion(phoneFirst: Bool) async throws {
        let phone = try Device("phone", gateway)
        let laptop = try Device("laptop", gateway)
        try insert(1, "a", phone)
        try await phone.sync()
        try phone.execute("DELETE FROM users")
        try await phone.sync()
        try insert(1, "b", phone)
        for device in [phone, laptop] { try await device.sync() }
        try phone.execute("DELETE FROM users")
        try await phone.sync()
        gateway.fork(atSequence: 2)
        for device in phoneFirst ? [phone, laptop] : [laptop, phone] { try await device.sync() }
        for device in [phone, laptop] { try await device.sync() }
        try expect([], at: [phone, laptop])
    }

    @Test(
        "A deletion that waits to be sent again outlives further edits and another loss",
        arguments: [true, false])
    func waitingDeletion(forksAgain: Bool) async throws {
        let phone = try Device("phone", gateway)
        let laptop = try Device("laptop", gateway)
        try insert(1, "a", phone)
        for device in [phone, laptop] { try await device.sync() }
        try phone.execute("DELETE FROM users")
        try await phone.sync()
        gateway.fork(atSequence: 0)
        gateway.write("users", key(2), payload(2, "other"))
        try await phone.engine.fetchChanges()
        if forksAgain {
            gateway.fork(atSequence: 0)
            gateway.write("users", key(2), payload(2, "another"))
            phone.clock.advance(seconds: HistoryRules.pause)
            try await phone.engine.fetchChanges()
        } else {
            try insert(1, "b", phone)
            try phone.execute("DELETE FROM users WHERE id = ?", [key(1)])
        }
        for device in [phone, laptop, phone] { try await device.sync() }
        #expect(try rows(phone).map { $0.prefix(1) } == ["2"])
        #expect(try rows(laptop) == rows(phone))
        #expect(gateway.rows("users").keys.map { $0 } == [key(2)])
    }

    @Test("An edit on top of a lost version keeps that version where an older one comes first")
    func editedMeanwhile() async throws {
        let phone = try Device("phone", gateway)
        let laptop = try Device("laptop", gateway)
        try insert(1, "a", phone)
        try await phone.sync()
        try phone.execute("UPDATE users SET name = 'b'")
        for device in [phone, laptop] { try await device.sync() }
        try phone.execute("UPDATE users SET name = 'c'")
        try await phone.sync()
        gateway.fork(atSequence: 1)
        try phone.execute("UPDATE users SET age = 7")
        try await phone.engine.fetchChanges()
        for device in [laptop, phone, laptop] { try await device.sync() }
        try expect(["1|c|7"], at: [phone, laptop])
    }

    /// ```
    /// phone    a ─ b ──────────── edits: c ─ sends c ─────────── knows c
    /// laptop       b ──────────────────────────────── sends b ── knows b
    /// server   1   2 ─ back to 1 ──────────── 3 ─ back to 1 ─ 2
    /// ```
    @Test(
        "An edit of a lost version is newer than that, also when the server loses both again",
        arguments: [true, false])
    func lostTwice(laptopFirst: Bool) async throws {
        let phone = try Device("phone", gateway)
        let laptop = try Device("laptop", gateway)
        try insert(1, "a", phone)
        try await phone.sync()
        try phone.execute("UPDATE users SET name = 'b'")
        for device in [phone, laptop] { try await device.sync() }
        gateway.fork(atSequence: 1)
        try phone.execute("UPDATE users SET name = 'c'")
        try await phone.sync()
        #expect(gateway.version("users", key(1)) == 3)
        gateway.fork(atSequence: 1)
        for device in [phone, laptop] { device.clock.advance(seconds: HistoryRules.pause) }
        for device in laptopFirst ? [laptop, phone, laptop] : [phone, laptop, phone] {
            try await device.sync()
        }
        try expect(["1|c|-"], at: [phone, laptop])
        #expect(try await phone.engine.settledConflicts.isEmpty)
    }
}
