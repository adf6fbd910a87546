import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Edits, crashes and lost answers between a request and its answer.
@Suite struct InFlightTests {
    let insert = "INSERT INTO users (id, name, age) VALUES ('\(key(1))', 'a', 1)"

    //  app:     insert ─────────────── update ────────────
    //  engine:         send(insert) ──────────── answer ──
    @Test("C4: an edit made while its row is in flight is kept")
    func editInFlight() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(
            .upload, .holdAnswer(until: device.writing("UPDATE users SET name = 'b'")))
        try await device.sync()
        #expect(device.gateway.uploads.count == 2)
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"b""#) == true)
        #expect(device.gateway.version("users", key(1)) == 2)
        #expect(try device.queue().isEmpty)
    }

    @Test("C4: a delete made while its row's insert is in flight reaches the server")
    func deleteInFlight() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .holdAnswer(until: device.writing("DELETE FROM users")))
        try await device.sync()
        #expect(device.gateway.rows("users").isEmpty)
        #expect(device.gateway.version("users", key(1)) == 2)
    }

    @Test("a lost answer is made good by the same change id", arguments: [true, false])
    func lostAnswer(isReference: Bool) async throws {
        let device = try Device()
        if isReference { device.gateway.actLikeOlderServer() }
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try await device.engine.sendChanges()
        #expect(device.gateway.uploads.count == 2)
        #expect(device.gateway.uploads[0] == device.gateway.uploads[1])
        #expect(device.gateway.logCount() == 1)
        #expect(try device.queue().isEmpty)
        // C17: the next edit goes out on the true version.
        try device.execute("UPDATE users SET name = 'b'")
        #expect(try device.queue() == ["UPDATE|1"])
    }

    @Test("a process killed between send and answer sends the same again after its restart")
    func crashAfterSend() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.reopen()
        try await device.engine.sendChanges()
        #expect(device.gateway.uploads[0] == device.gateway.uploads[1])
        #expect(device.gateway.logCount() == 1)
    }

    @Test(
        "C8 C17: an edit after a lost answer goes out under a fresh id and is not undone by the device's own write",
        arguments: [ConflictPolicy.fieldwise(), .fieldwise(clash: .server), .serverWins])
    func editAfterLostAnswer(policy: ConflictPolicy) async throws {
        let device = try Device { $0.conflictPolicy = policy }
        let events = device.engine.events
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE users SET name = 'b'")
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE users SET name = 'c'")
        try await device.sync()
        #expect(try device.text("SELECT name FROM users") == "c")
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"c""#) == true)
        let ids = device.gateway.uploads.flatMap {
            $0.matches(of: /"source_change_id":(\d+)/).map(\.1)
        }
        #expect(Set(ids).count == ids.count)
        await device.engine.stop()
        #expect(await firstEvent(events, unless: device) == nil)
    }

    @Test("C17: against a reference server an edit after a lost answer survives")
    func editAfterLostAnswerOnReference() async throws {
        let device = try Device()
        device.gateway.actLikeOlderServer()
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE users SET name = 'b'")
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"b""#) == true)
        #expect(try device.text("SELECT name FROM users") == "b")
    }

    @Test("a deletion after a lost answer reaches the server")
    func deleteAfterLostAnswer() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute(insert)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("DELETE FROM users")
        try await device.sync()
        #expect(device.gateway.rows("users").isEmpty)
        #expect(try device.queue().isEmpty)
    }

    @Test("what was sent becomes the base of edits made meanwhile")
    func sentImage() async throws {
        let device = try Device { $0.conflictPolicy = .fieldwise(clash: .server) }
        try device.execute(insert)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b'")
        let edit = device.writing("UPDATE users SET name = 'c'")
        device.gateway.next(
            .upload,
            .holdAnswer { [gateway = device.gateway] in
                try await edit()
                gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"b","age":9}"#)
            })
        try await device.sync()
        // The server's name is the one this device had sent: no clash, though the server wins those.
        #expect(try device.lines("SELECT name, age FROM users") == ["c|9"])
        try await device.sync()
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"c","age":9"#) == true)
    }

    @Test(
        "an answer with another number of statuses, or not JSON at all, changes nothing",
        arguments: [
            #"{"accepted":true,"highest_server_seq":0,"statuses":[]}"#,
            "<html>Please sign in</html>", "",
            #"{"statuses":[{"status":"applied","new_server_version":1}]"#,
        ])
    func garbage(body: String) async throws {
        let device = try Device()
        try await device.sync()
        try device.execute(insert)
        let before = try device.queue()
        device.gateway.next(
            .upload, .answerInstead(status: 200, body))
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try device.queue() == before)
        try await device.sync()
        #expect(device.gateway.rows("users").count == 1)
    }

    @Test("a row the server does not know is created anew")
    func rowMissing() async throws {
        let device = try Device()
        try device.execute(insert)
        try await device.sync()
        try device.execute("UPDATE _sync_rows SET version = 5")
        try device.execute("INSERT INTO users (id) VALUES ('\(key(2))')")
        let other = InMemoryGateway()
        let moved = try Device("one", other)
        try moved.execute("INSERT INTO users (id) VALUES ('\(key(1))')")
        _ = try moved.queue()
        try moved.execute("UPDATE _sync_pending SET base = 5, op = 'UPDATE'")
        try await moved.sync()
        #expect(other.version("users", key(1)) == 1)
        #expect(try moved.queue().isEmpty)
    }

    @Test("a batch the server finds too large is halved until it passes")
    func batchTooLarge() async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.setBatchLimit(3)
        for number in 1...20 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await device.sync()
        #expect(device.gateway.rows("users").count == 20)
    }

    @Test("413 halves the batch, and a row that alone is too large steps aside")
    func bodyTooLarge() async throws {
        let device = try Device()
        try await device.sync()
        for number in 1...2 {
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        for _ in 1...2 { device.gateway.next(.upload, .answerInstead(status: 413)) }
        try await device.sync()
        #expect(Array(device.gateway.rows("users").keys) == [key(2)])
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["too_large"])
    }
}

/// The first event, or nil if there was none until the device's engine was let go of.
func firstEvent(_ events: AsyncStream<SyncEvent>, unless device: Device) async -> SyncEvent? {
    device.engine.session.board.finish()
    for await event in events { return event }
    return nil
}
