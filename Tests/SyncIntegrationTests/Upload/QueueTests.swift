import NIOCore
import Postgres
import RPC
import Testing

@testable import UploadService

/// P6, its second half: no user can hurt another.
@Suite("Queue of uploads") struct QueueTests {
    private static let settings = [
        "OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "60000",
        "OVERSYNC_UPLOAD_BUFFER_BYTES": "\(4 << 20)",
        "OVERSYNC_UPLOAD_BUFFER_BYTES_PER_USER": "\(1 << 20)",
    ]

    private static func insert(_ number: Int) -> String {
        change(1, "INSERT", "notes", id("a\(number)"), "{}")
    }

    /// Calls `body` while another session holds the log of `ann`, and lets go of it afterwards.
    private static func withLockedLog(
        _ changed: [String: String] = [:],
        _ body: (SyncedDatabase, _ release: () async throws -> Void) async throws -> Void
    ) async throws {
        let settings = settings.merging(changed) { $1 }
        try await SyncedDatabase.with(settings: settings) { database in
            try await database.upload("ann", device: "first", insert(0))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            try await body(database) { try await other.execute(script: "ROLLBACK") }
        }
    }

    /// Returns when the condition holds.
    private static func expect(_ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while !condition() {
            try #require(.now < deadline, "it does not come to that")
            await Task.yield()
        }
    }

    private static func failure(
        _ database: SyncedDatabase, device: String, body: String
    ) async -> RPCFailure? {
        do {
            _ = try await database.executor.upload(
                ByteBuffer(string: body), from: CallerIdentity(user: "ann", device: device),
                deadline: .now + .seconds(60))
            return nil
        } catch {
            return error as? RPCFailure
        }
    }

    @Test("Uploads of one user are written in the order in which they came")
    func order() async throws {
        try await Self.withLockedLog { database, release in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...20 {
                    group.addTask {
                        try await database.upload(
                            "ann", device: "device \(number)", Self.insert(number))
                    }
                    // The first is at the database; the others wait here, one after the other.
                    if number == 1 { try await database.expectWaiting(1) }
                    try await Self.expect { database.executor.queue.waiting == number - 1 }
                }
                try await release()
                try await group.waitForAll()
            }
            let order = try await database.value(
                """
                SELECT string_agg(d.device, ',' ORDER BY l.seq)
                FROM sync.change_log l JOIN sync.source d USING (scope_id, source_no)
                """)
            let expected = (1...20).map { "device \($0)" }.joined(separator: ",")
            #expect(order == "first,\(expected)")
        }
    }

    @Test("200 uploads wait for a locked log: one is at the database, and another user's go on")
    func locked() async throws {
        try await Self.withLockedLog { database, release in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...200 {
                    group.addTask {
                        try await database.upload(
                            "ann", device: "device \(number)", Self.insert(number))
                    }
                }
                try await Self.expect { database.executor.queue.waiting == 199 }
                for number in 1...10 {
                    #expect(
                        try await database.outcomes(
                            "bob", change(number, "INSERT", "notes", id("b\(number)"), "{}"))
                            == ["applied 1"])
                }
                // All of ann's wait still, and the database knows of one.
                #expect(database.executor.queue.waiting == 199)
                #expect(
                    try await database.value(
                        """
                        SELECT count(*)::text FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'
                        """) == "1")
                try await release()
                try await group.waitForAll()
            }
            // The last group goes when all of it is answered.
            try await Self.expect { database.executor.queue.bytes == 0 }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A locked log: the upload at the database and those that wait give up in the time set")
    func givesUp() async throws {
        let limit = Duration.milliseconds(400)
        let setting = ["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "400"]
        try await Self.withLockedLog(setting) { database, release in
            let start = ContinuousClock.now
            let failures = await withTaskGroup(of: RPCFailure?.self) { group in
                for number in 1...20 {
                    group.addTask {
                        await Self.failure(
                            database, device: "d\(number)",
                            body: #"{"changes":[\#(Self.insert(number))]}"#)
                    }
                }
                return await group.reduce(into: [RPCFailure?]()) { $0.append($1) }
            }
            #expect(failures == Array(repeating: RPCFailure.userIsBusy, count: 20))
            // Each waits once, not once for each attempt, nor for those before it.
            let time = ContinuousClock.now - start
            #expect(time >= limit && time < limit * 5, "\(time)")
            try await release()
            #expect(try await database.outcomes("ann", Self.insert(30)) == ["applied 1"])
        }
    }

    @Test("What does not fit into a user's share of the bytes is refused before it is read")
    func bytes() async throws {
        try await Self.withLockedLog { database, release in
            let padding = String(repeating: " ", count: 900 << 10)
            async let first = Self.failure(
                database, device: "one", body: #"{"changes":[\#(Self.insert(1))]}"# + padding)
            try await Self.expect { database.executor.queue.bytes > padding.utf8.count }
            let refused = await Self.failure(
                database, device: "two", body: "no JSON" + String(padding.prefix(200 << 10)))
            #expect(refused?.status == .resourceExhausted)
            #expect(refused?.code == "share_used_up")
            #expect(refused?.message.hasPrefix("1048576 bytes of this user's uploads wait") == true)
            // Somebody else has a share of its own.
            #expect(
                try await database.outcomes("bob", change(1, "INSERT", "notes", id("b1"), "{}"))
                    == ["applied 1"])
            try await release()
            #expect(await first == nil)
            #expect(database.executor.queue.bytes == 0)
        }
    }

    @Test("More uploads of a user than may wait are refused at once, and lose nothing")
    func full() async throws {
        let setting = ["OVERSYNC_UPLOAD_QUEUE_PER_USER": "1"]
        try await Self.withLockedLog(setting) { database, release in
            async let first = database.outcomes("ann", device: "one", Self.insert(1))
            try await Self.expect { database.executor.queue.bytes > 0 }
            async let second = database.outcomes("ann", device: "two", Self.insert(2))
            try await Self.expect { database.executor.queue.waiting == 1 }
            let refused = await Self.failure(
                database, device: "three", body: #"{"changes":[\#(Self.insert(3))]}"#)
            #expect(refused?.code == "too_many_waiting")
            try await release()
            #expect(try await first == ["applied 1"])
            #expect(try await second == ["applied 1"])
            let again = try await database.outcomes("ann", device: "three", Self.insert(3))
            #expect(again == ["applied 1"])
        }
    }

    @Test("The logs of many users are locked, as by a back end's long transaction: others go on")
    func manyLocked() async throws {
        let settings = Self.settings.merging(["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "20000"]) { $1 }
        let users = (1...40).map { "locked \($0)" }
        try await SyncedDatabase.with(settings: settings) { database in
            for (number, user) in users.enumerated() {
                try await database.upload(user, Self.insert(100 + number))
            }
            try await database.upload("bob", change(1, "INSERT", "notes", id("b1"), "{}"))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id LIKE 'locked%' FOR UPDATE")
            let answered = try await withThrowingTaskGroup(
                of: Bool.self, returning: Int.self
            ) { group in
                for (number, user) in users.enumerated() {
                    for device in ["one", "two"] {
                        group.addTask {
                            do {
                                try await database.upload(
                                    user, device: device,
                                    change(
                                        2, "INSERT", "notes",
                                        id("\(device == "one" ? "c" : "d")\(number)"), "{}"))
                                return true
                            } catch let refusal as RPCFailure {
                                #expect(refusal == .userIsBusy)
                                return false
                            }
                        }
                    }
                }
                try await database.expectWaiting(5)
                let start = ContinuousClock.now
                for number in 2...20 {
                    let lines = try await database.outcomes(
                        "bob", change(number, "INSERT", "notes", id("b\(number)"), "{}"))
                    #expect(lines == ["applied 1"])
                }
                let time = ContinuousClock.now - start
                #expect(time < .seconds(10), "\(time)")
                try await other.execute(script: "ROLLBACK")
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            // Some waited, as long as they may.
            #expect(answered > 0)
            #expect(try await database.outcomes("locked 1", Self.insert(999)) == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }
}
