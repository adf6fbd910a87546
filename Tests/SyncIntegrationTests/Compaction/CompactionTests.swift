@testable import DownloadService
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
@testable import Sidecar
import SwiftProtobuf
import Testing
import TestSupport
@testable import UploadService

@Suite("Compaction")
struct CompactionTests {
    private static let day: Int64 = 86_400
    /// A month of replaced changes, three of deletes.
    private static let retention = Retention(superseded: 30 * day, tombstones: 90 * day)

    @Test(
        "S15: replaced changes and old deletes go, young ones stay, and a cursor before a removed delete is told so"
    )
    func compaction() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"1"}"#),
                change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"2"}"#),
                change(3, "INSERT", "notes", id("a2"), "{}"),
                change(4, "INSERT", "notes", id("a3"), "{}"))
            try await database.upload("ann", change(5, "DELETE", "notes", id("a2"), base: 1))
            try await database.upload("ann", change(6, "DELETE", "notes", id("a3"), base: 1))
            try await database.upload("bob", change(1, "INSERT", "prefs", "p", "{}"))
            // a1 was created and edited long ago, a2 deleted long ago, a3 not so long ago.
            try await database.age(days: 100, upTo: 5)
            try await database.age(days: 60, upTo: 6)
            #expect(
                try await database.compact(Self.retention)
                    == .init(users: 1, superseded: 3, tombstones: 1))
            #expect(try await database.feed("ann") == ["U notes a1 2", "D notes a3 2"])
            #expect(try await database.feed("bob") == ["I prefs p 1"])
            #expect(try await database.verify().0 == [])

            #expect(try await database.answer("ann", after: 4) == "history_pruned")
            #expect(try await database.answer("ann", after: 5) == "1 rows to 6")
            #expect(try await database.answer("ann", after: 0) == "2 rows to 6")
            // Again, nothing is left to do.
            #expect(try await database.compact(Self.retention) == .init())
            // Sequences and versions go on as if nothing had been.
            #expect(
                try await database.outcomes(
                    "ann", change(7, "UPDATE", "notes", id("a1"), base: 2, "{}"),
                    change(8, "INSERT", "notes", id("a2"), "{}"),
                    change(9, "INSERT", "notes", id("a2"), base: 2, "{}"))
                    == ["applied 3", "conflict 2 by /0 deleted", "applied 3"])
            #expect(try await database.feed("ann", after: 6) == ["U notes a1 3", "I notes a2 3"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A conflict with a row whose last change has gone does not say when that was, in no format")
    func conflictWithCompacted() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.upload("ann", change(2, "DELETE", "notes", id("a1"), base: 1))
            func serverRow() async throws -> (json: [String: Any], protobuf: BodyServerRow) {
                let result = try await database.upload(
                    "ann", device: "tablet", change(1, "INSERT", "notes", id("a1"), "{}"))
                let answer = UploadAnswer(result: result, changeIDs: [1])
                let body = try JSONSerialization.jsonObject(
                    with: Data(answer.encoded().readableBytesView))
                let statuses = (body as? [String: Any])?["statuses"] as? [[String: Any]]
                return (
                    try #require(statuses?.first?["server_row"] as? [String: Any]),
                    try BodyUploadResponse(
                        serializedBytes: Data(answer.encodedAsProtobuf().readableBytesView)
                    ).statuses[0].serverRow
                )
            }
            let before = try await serverRow()
            #expect(before.json["ts"] as? String == before.protobuf.ts)
            #expect(before.protobuf.ts.hasSuffix("Z"))
            try await database.age(days: 100, upTo: 2)
            #expect(try await database.compact(Self.retention).tombstones == 1)
            let after = try await serverRow()
            #expect(after.json["ts"] == nil)
            #expect(after.protobuf.ts.isEmpty)
            #expect(after.json["source_id"] as? String == "")
            #expect(after.json["deleted"] as? Bool == true)
        }
    }

    @Test(
        "H1: a device that begins at 0 gets everything, however many pages it takes below the floor"
    )
    func hydration() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...9 {
                try await database.upload(
                    "ann", change(number, "INSERT", "notes", id("a\(number)"), "{}"))
            }
            try await database.upload("ann", change(10, "DELETE", "notes", id("a5"), base: 1))
            try await database.age(days: 100, upTo: 10)
            _ = try await database.compact(Self.retention)

            // A stranger to this log has a cursor in the middle of it and missed the delete.
            #expect(try await database.answer("ann", device: "old", after: 2) == "history_pruned")
            #expect(try await database.answer("ann", device: "old", after: 0, 2) == "2 rows to 2")
            for (after, answer) in [
                (2, "2 rows to 4"), (4, "2 rows to 7"), (2, "2 rows to 4"), (7, "2 rows to 10"),
                (10, "0 rows to 10"),
            ] {
                #expect(try await database.answer("ann", device: "old", after: after, 2) == answer)
            }
            // Another device did not begin at 0, and neither did the same device of another user.
            #expect(try await database.answer("ann", device: "new", after: 2) == "history_pruned")

            // While it reads on, a delete that it may not have seen goes: it must begin again.
            #expect(try await database.answer("ann", device: "old", after: 0, 2) == "2 rows to 2")
            try await database.upload("ann", change(11, "DELETE", "notes", id("a1"), base: 1))
            try await database.age(days: 100, upTo: 11)
            _ = try await database.compact(Self.retention)
            #expect(try await database.answer("ann", device: "old", after: 2) == "history_pruned")
            #expect(try await database.answer("ann", device: "old", after: 0, 2) == "2 rows to 3")
            #expect(try await database.answer("ann", device: "old", after: 3) == "5 rows to 11")
            // Long after, the same cursor is that of a device that was restored.
            try await database.execute(
                "UPDATE sync.hydration SET started_at = now() - interval '25 hours'")
            #expect(try await database.answer("ann", device: "old", after: 3) == "history_pruned")
            _ = try await database.compact(Self.retention)
            #expect(try await database.value("SELECT count(*)::text FROM sync.hydration") == "0")
        }
    }

    @Test(
        "A delete that compaction removes between a page's statements is in the page all the same")
    func compactionMeetsPage() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), "{}"),
                change(2, "INSERT", "notes", id("a2"), "{}"))
            try await database.upload("ann", change(3, "DELETE", "notes", id("a1"), base: 1))
            try await database.upload("ann", change(4, "INSERT", "notes", id("a3"), "{}"))
            let compaction = try await SyncedDatabase.connect(database.url)
            // Holds the page up after it has read the state of the log.
            try await compaction.execute(
                script: "BEGIN; LOCK TABLE sync.change_log IN ACCESS EXCLUSIVE MODE")
            async let page = database.answer("ann", after: 2)
            try await database.expectWaiting(1)
            try await compaction.execute(
                script: """
                    DELETE FROM sync.change_log WHERE seq = 3;
                    UPDATE sync.scope SET floor_seq = 3;
                    COMMIT
                    """)
            #expect(try await page == "2 rows to 4")
            #expect(try await database.answer("ann", after: 2) == "history_pruned")
            compaction.close()
        }
    }

    @Test(
        "A page of large rows that compaction met is asked for again, and then told that a delete is missing"
    )
    func compactionMeetsLargeRows() async throws {
        try await SyncedDatabase.with { database in
            // Random, for what compresses well comes with its page.
            let text = (0..<500).map { _ in UUID().uuidString }.joined()
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.upload(
                "ann", change(2, "INSERT", "notes", id("a2"), #"{"title":"\#(text)"}"#))
            try await database.upload("ann", change(3, "DELETE", "notes", id("a1"), base: 1))
            let gate = try await SyncedDatabase.connect(database.url)
            let compaction = try await SyncedDatabase.connect(database.url)
            defer { [gate, compaction].forEach { $0.close() } }
            let lock = "BEGIN; LOCK TABLE sync.change_log IN ACCESS EXCLUSIVE MODE"
            let compact = """
                DELETE FROM sync.change_log WHERE seq = 3;
                UPDATE sync.scope SET floor_seq = 3;
                COMMIT
                """
            // Those that wait for a lock get it in turn: the page's statements, compaction, the
            // page's large rows.
            try await gate.execute(script: lock)
            async let page = database.answer("ann", after: 1)
            try await database.expectWaiting(1)
            async let compacted: Void = compaction.execute(script: "\(lock); \(compact)")
            try await database.expectWaiting(2)
            try await gate.execute(script: "COMMIT")
            try await compacted
            #expect(try await page == "unavailable")
            #expect(try await database.answer("ann", after: 1) == "history_pruned")
            #expect(try await database.answer("ann", after: 0) == "2 rows to 3")
        }
    }

    @Test("H1: columns that the newest change does not name are still served from older ones")
    func partialPayloads() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"1","extra":1}"#),
                change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"2"}"#),
                change(3, "UPDATE", "notes", id("a1"), base: 2, #"{"title":"3"}"#),
                change(4, "INSERT", "notes", id("a2"), #"{"title":"1","extra":1}"#))
            try await database.upload("ann", change(5, "DELETE", "notes", id("a2"), base: 1))
            try await database.upload(
                "ann", change(6, "INSERT", "notes", id("a2"), base: 2, #"{"title":"back"}"#))
            try await database.age(days: 100, upTo: 6)
            #expect(
                try await database.compact(Self.retention)
                    == .init(users: 1, superseded: 1, tombstones: 0))
            #expect(
                try await database.feed("ann") == [
                    "I notes a1 1", "U notes a1 3", "I notes a2 1", "D notes a2 2", "I notes a2 3",
                ])
            #expect(try await database.verify().0 == [])
            // Once the newest is whole, the others go.
            try await database.execute("UPDATE s.notes SET title = 'server'")
            try await database.age(days: 100, upTo: 8)
            #expect(
                try await database.compact(Self.retention)
                    == .init(users: 1, superseded: 4, tombstones: 0))
            #expect(
                try await database.feed("ann") == [
                    "D notes a2 2", "U notes a1 4", "U notes a2 4",
                ])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A change whose log entry has gone is judged by its base, and its id is not given out again"
    )
    func forgottenIDs() async throws {
        try await SyncedDatabase.with { database in
            let first = change(1, "INSERT", "notes", id("a1"), #"{"title":"1"}"#)
            try await database.upload("ann", first)
            try await database.upload(
                "ann", change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"2"}"#))
            try await database.upload(
                "ann", change(41, "INSERT", "notes", id("a2"), "{}"),
                change(42, "DELETE", "notes", id("a2"), base: 1))
            try await database.age(days: 100, upTo: 4)
            _ = try await database.compact(Self.retention)
            #expect(
                try await database.outcomes("ann", first)
                    == [#"conflict 2 by phone/2 {"title":"2"}"#])
            let bootstrap = try await database.bootstrap("ann", device: "phone")
            #expect(bootstrap.nextChangeID == 43)
            #expect(bootstrap.floor == 4)
        }
    }

    @Test("Compaction during uploads: readers get every row as it is, and verify stays clean")
    func online() async throws {
        let rounds = 31
        try await SyncedDatabase.with { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    for round in 0..<rounds {
                        let changes = (1...20).map { row in
                            round % 3 == 2
                                ? change(
                                    round * 20 + row, "DELETE", "notes", id("a\(row)"),
                                    base: round % 3)
                                : change(
                                    round * 20 + row, "UPDATE", "notes", id("a\(row)"),
                                    base: round % 3, #"{"title":"\#(round)"}"#)
                        }
                        // A deleted row whose tombstone has gone begins again at 0; one whose tombstone is
                        // still there conflicts, and then stays deleted for this round.
                        _ = try await database.outcomes("ann", changes.joined(separator: ","))
                    }
                    return true
                }
                group.addTask {
                    let compactor = Compactor(
                        connection: other, retention: Retention(superseded: 0, tombstones: 0))
                    while !Task.isCancelled { _ = try await compactor.run() }
                    return false
                }
                while let isDone = try await group.next(), !isDone {}
                group.cancelAll()
            }
            #expect(try await database.verify().0 == [])
            let live = try await database.download("ann").filter { $0.operation != "DELETE" }
            let rows = try await database.value("SELECT count(*)::text FROM s.notes")
            #expect("\(Set(live.map(\.key)).count)" == rows)
            #expect(live.allSatisfy { $0.version == rounds })
        }
    }

    @Test("A payload that no function reads stays, and does not keep others from being removed")
    func unreadable() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                #"""
                INSERT INTO s.notes (id, owner)
                    SELECT gen_random_uuid(), 'ann' FROM generate_series(1, 3);
                UPDATE s.notes SET title = '1';
                UPDATE sync.change_log SET payload = '{"title":"\u0000"}' WHERE seq = 2;
                """#)
            let retention = Retention(superseded: 0, tombstones: 0)
            #expect(try await database.compact(retention) == .init(users: 1, superseded: 2))
        }
    }

    @Test("A log longer than one stretch is compacted to its end")
    func stretches() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) SELECT gen_random_uuid(), 'ann' FROM generate_series(1, 4000);
                UPDATE s.notes SET title = '1';
                UPDATE s.notes SET title = '2';
                DELETE FROM s.notes WHERE id IN (SELECT id FROM s.notes LIMIT 1500)
                """)
            let summary = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(summary == .init(users: 1, superseded: 9500, tombstones: 1500))
            #expect(try await database.verify().0 == [])
        }
    }
}

extension SyncedDatabase {
    func compact(_ retention: Retention) async throws -> Compactor.Summary {
        let maintenance = try await Self.connect(
            TestDatabase.url(url, as: ServiceRole.maintenance.defaultName))
        defer { maintenance.close() }
        return try await Compactor(connection: maintenance, retention: retention).run()
    }

    /// Makes ann's changes that many days older than they are.
    func age(days: Int, upTo sequence: Int) async throws {
        try await execute(
            """
            UPDATE sync.change_log SET ts = now() - interval '\(days) days'
            WHERE scope_id = 1 AND seq <= \(sequence) AND ts > now() - interval '50 days'
            """)
    }

    /// What a device with this cursor is answered: how many rows up to where, or a code.
    fileprivate func answer(
        _ user: String, device: String = "reader", after: Int, _ limit: Int32 = 1000
    ) async throws -> String {
        do {
            let reply = try await pull(user, device: device) {
                ($0.after, $0.limit, $0.includeSelf) = (Int64(after), limit, true)
            }
            return "\(reply.message.rows) rows to \(reply.message.nextAfter)"
        } catch let failure as RPCFailure {
            return failure.code
        }
    }

    fileprivate func bootstrap(_ user: String, device: String) async throws -> ReadBootstrapReply {
        try await ReadBootstrap(pool: pool).read(
            UserID(user), DeviceID(device), .now + .seconds(30))
    }
}
