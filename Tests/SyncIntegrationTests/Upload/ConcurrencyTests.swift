import Foundation
import Model
import Postgres
import RPC
import Synchronization
import Testing

@Suite("Uploads, plain SQL and readers at once", .serialized)
struct ConcurrencyTests {
    @Test(
        "S2: a reader that follows its cursor while devices and plain SQL write gets every change once, in order"
    )
    func gaps() async throws {
        let devices = 6
        let uploads = 25
        let perUpload = 4
        try await SyncedDatabase.with { database in
            let plain = try await SyncedDatabase.connect(database.url)
            defer { plain.close() }
            let total = devices * uploads * perUpload + uploads
            try await withThrowingTaskGroup(of: Void.self) { group in
                for device in 0..<devices {
                    group.addTask {
                        for upload in 0..<uploads {
                            let changes = (0..<perUpload).map { n in
                                let key = id(String(format: "%02x%04x%x", device, upload, n))
                                return change(
                                    upload * perUpload + n + 1, "INSERT", "notes", key, "{}")
                            }
                            let answer = try await database.outcomes(
                                "ann", device: "device\(device)", changes.joined(separator: ","))
                            #expect(answer.allSatisfy { $0 == "applied 1" })
                        }
                    }
                }
                group.addTask {
                    for n in 0..<uploads {
                        try await plain.execute(
                            script:
                                "INSERT INTO s.notes (id, owner) VALUES ('\(id(String(format: "ff%04x", n)))', 'ann')"
                        )
                    }
                }
                for _ in 0..<2 {
                    group.addTask {
                        var cursor = 0
                        var keys: Set<String> = []
                        while cursor < total {
                            for change in try await database.download("ann", after: cursor) {
                                #expect(change.sequence == cursor + 1)
                                cursor = change.sequence
                                #expect(keys.insert(change.key).inserted)
                            }
                            try Task.checkCancellation()
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "One batch sent many times at once takes effect once, and every answer names the same versions"
    )
    func duplicates() async throws {
        try await SyncedDatabase.with { database in
            let batch = (1...30).map {
                change($0, "INSERT", "notes", id("\($0 + 100)"), #"{"title":"\#($0)"}"#)
            }
            .joined(separator: ",")
            try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<12 { group.addTask { try await database.outcomes("ann", batch) } }
                for try await answer in group {
                    #expect(answer == Array(repeating: "applied 1", count: 30))
                }
            }
            #expect(try await database.download("ann").count == 30)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("New users and new devices that upload for the first time at once")
    func firsts() async throws {
        try await SyncedDatabase.with { database in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for n in 0..<24 {
                    group.addTask {
                        let answer = try await database.outcomes(
                            "user\(n % 3)", device: "device\(n)",
                            change(1, "INSERT", "notes", id("\(n + 100)"), "{}"))
                        #expect(answer == ["applied 1"])
                    }
                }
                try await group.waitForAll()
            }
            for user in 0..<3 {
                let changes = try await database.download("user\(user)")
                #expect(Set(changes.map(\.source)).count == 8)
            }
            #expect(try await database.verify().0 == [])
        }
    }

    // plain SQL: BEGIN, UPDATE row ─────────────────── waits for ann's log ──── COMMIT
    // upload:                        holds ann's log, waits for the row: steps back, again, applied
    @Test(
        "Lock order: between an upload and plain SQL it is the upload that steps back, and then succeeds"
    )
    func lockOrder() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#))
            let plain = try await SyncedDatabase.connect(database.url)
            defer { plain.close() }
            // Without capture, so that the row alone is locked and the log is still free.
            try await plain.execute(
                script: "BEGIN; SELECT FROM s.notes WHERE id = '\(id("a1"))' FOR UPDATE")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let answer = try await database.outcomes(
                        "ann",
                        change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"upload"}"#))
                    #expect(
                        answer == [
                            #"conflict 2 by /2 {"id":"\#(id("a1"))","title":"plain","big":null,"photo":null,"at":null,"extra":null}"#
                        ])
                }
                // Somebody waits for the row: the upload, with the log locked.
                while try await database.value(
                    "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ) == "0" {
                    try Task.checkCancellation()
                }
                try await plain.execute(
                    script: "UPDATE s.notes SET title = 'plain' WHERE id = '\(id("a1"))'; COMMIT")
                try await group.waitForAll()
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "S6: a row that stays locked is postponed, nothing of it is half done, and a repeat is applied"
    )
    func lockedRow() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.execute("BEGIN; SELECT FROM s.notes FOR UPDATE")
            let batch =
                change(2, "INSERT", "notes", id("a2"), "{}") + ","
                + change(3, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"y"}"#)
            #expect(
                try await database.outcomes("ann", batch)
                    == ["applied 1", "materialize_error 55P03"])
            #expect(try await database.feed("ann") == ["I notes a1 1", "I notes a2 1"])
            try await database.execute("ROLLBACK")
            #expect(try await database.outcomes("ann", batch) == ["applied 1", "applied 2"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "Backends that are killed while uploads run: after the retries every change took effect once"
    )
    func killedBackends() async throws {
        try await SyncedDatabase.with { database in
            let killer = try await SyncedDatabase.connect(database.url)
            defer { killer.close() }
            // Each upload lets the killer go on: if it never paused, hardly a session would live
            // long enough for one.
            let (permits, permit) = AsyncStream.makeStream(of: Void.self)
            let kills = Kills()
            let uploads = try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask {
                    var uploads = 0
                    while kills.count < Self.leastKills, uploads < Self.mostUploads {
                        for _ in 0..<Self.killsPerUpload { permit.yield() }
                        try await Self.uploadUntilAnswered(uploads, to: database)
                        uploads += 1
                    }
                    return uploads
                }
                group.addTask {
                    try await kills.run(with: killer, at: permits)
                    return 0
                }
                var uploads = 0
                while let ended = try await group.next() {
                    uploads += ended
                    group.cancelAll()
                }
                return uploads
            }
            #expect(kills.count >= Self.leastKills)
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            let count = try await other.run(
                Command(
                    Statement(
                        name: "count",
                        sql: "SELECT count(*), count(DISTINCT key), max(seq) FROM sync.change_log"))
            )
            #expect(try count.int64(0, 0) == Int64(uploads * 5))
            #expect(try count.int64(0, 1) == Int64(uploads * 5))
            #expect(try count.int64(0, 2) == Int64(uploads * 5))
        }
    }

    private static let killsPerUpload = 2
    private static let leastKills = 40
    private static let mostUploads = 2000

    /// Uploads five rows as a device does: again until there is an answer.
    private static func uploadUntilAnswered(
        _ upload: Int, to database: SyncedDatabase
    ) async throws {
        let batch = (1...5).map {
            change(
                upload * 5 + $0, "INSERT", "notes", id(String(format: "%04x%x", upload, $0)), "{}")
        }
        .joined(separator: ",")
        while true {
            do {
                let answer = try await database.outcomes("ann", batch)
                #expect(answer == Array(repeating: "applied 1", count: 5))
                return
            } catch let failure as RPCFailure where failure.status == .unavailable {}
        }
    }
}

/// Back ends that were killed.
private final class Kills: Sendable {
    private let number = Mutex(0)

    var count: Int { number.withLock(\.self) }

    /// Ends some of the back ends that are at work, at least one for each permit, until it is
    /// cancelled.
    func run(with killer: PostgresConnection, at permits: AsyncStream<Void>) async throws {
        let kill = Command(
            Statement(
                name: "kill",
                sql: """
                    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND state = 'active'
                        AND pid <> pg_backend_pid() AND random() < 0.2
                    """))
        do {
            for await _ in permits {
                let before = count
                while count == before, !Task.isCancelled {
                    let killed = Int(try await killer.run(kill).int64(0, 0))
                    number.withLock { $0 += killed }
                }
            }
        } catch {
            if !Task.isCancelled { throw error }
        }
    }
}
