@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing
@testable import UploadService

/// Promise P7: devices and a server that tell different histories find out by themselves.
@Suite("Histories")
struct HistoryTests {
    @Test("An upload tells the log's end, whatever became of its changes")
    func uploadTells() async throws {
        try await SyncedDatabase.with { database in
            func expectEnd(_ result: UploadResult, at sequence: Int) async throws {
                let pair = try await database.pair(sequence)
                #expect(result.end == pair)
                #expect(result.end != nil)
            }
            #expect(
                try await database.upload(nil, change(1, "DELETE", "notes", id("1"))).end == nil)
            try await expectEnd(try await database.upload(nil, noteChange(1), noteChange(2)), at: 2)
            // A repeat, a conflict, an atomic upload that is not whole: the log is as it was.
            try await expectEnd(try await database.upload(nil, noteChange(1)), at: 2)
            try await expectEnd(
                try await database.upload(nil, noteChange(3, base: 7, key: "1", "b")), at: 2)
            try await expectEnd(
                try await database.upload(
                    nil, atomic: true, noteChange(4), noteChange(5, base: 7, key: "1")),
                at: 2)
            // The same after plain SQL, and if an upload's writes cause others.
            try await database.execute("UPDATE s.notes SET title = 'sql' WHERE id = '\(id("2"))'")
            try await expectEnd(try await database.upload(nil, noteChange(1)), at: 3)
            try await database.upload(
                nil, change(6, "INSERT", "items", id("a"), #"{"note_id":"\#(id("1"))"}"#))
            let cascade = try await database.upload(
                nil, change(7, "DELETE", "notes", id("1"), base: 1))
            #expect(cascade.highestSequence == 6)
            try await expectEnd(cascade, at: 6)
            // One is refused: the others are written by parts.
            try await expectEnd(
                try await database.upload(
                    nil, noteChange(8), change(9, "INSERT", "items", id("b"), #"{"n":"many"}"#)),
                at: 7)
        }
    }

    @Test("Each page of a window tells the window's end, also one that memory answers")
    func pagesTell() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...5 { try await database.upload("ann", noteChange(number)) }
            let third = try await database.pair(3)
            let fifth = try await database.pair(5)
            #expect(try await database.pull(nil, limit: 2).pair == fifth)
            for after in [0, 1, 2] {
                let page = try await database.pull(nil, after: after, until: 3, limit: 1)
                #expect(page.rows == 1 && page.pair == third)
            }
            // From here on nothing is read: the table is not there.
            #expect(try await database.pull(fifth, after: 5).pair == fifth)
            try await database.execute("ALTER TABLE sync.change_log RENAME TO gone")
            #expect(try await database.pull(fifth, after: 5).pair == fifth)
            #expect(try await database.pull(nil, after: 5).pair == fifth)
            #expect(
                await database.code { _ = try await database.pull(third, after: 5) } != "served")
        }
    }

    @Test("Clients that send neither header are told nothing and refused nothing")
    func olderClients() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1), noteChange(2), noteChange(3))
            try await database.back()
            try await database.upload("ann", noteChange(4), noteChange(5))
            try await database.goBack()
            let page = try await database.pull("ann") { $0.after = 5 }.message
            #expect(page.historySeq == 0 && page.historyTag == 0 && page.nextAfter == 5)
            let result = try await database.upload("ann", noteChange(5, "other"))
            #expect(result.highestSequence == 4)
            let standing = try await ReadBootstrap(pool: database.downloadPool).read(
                UserID("ann"), DeviceID("phone"), .now + .seconds(30))
            #expect(standing.history.isEmpty && standing.historySeq == 0)
        }
    }

    /// What happens to a log of three changes if a device knows five, once the last two are lost.
    struct Loss: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The sequence of the pair that the device has.
        var known = 5
        let expected: String
        let after: @Sendable (SyncedDatabase) async throws -> Void

        init(
            _ description: String, known: Int = 5, _ expected: String,
            after: @escaping @Sendable (SyncedDatabase) async throws -> Void = { _ in }
        ) {
            testDescription = description
            self.known = known
            self.expected = expected
            self.after = after
        }
    }

    static let losses = [
        Loss("1: restored to exactly the pair", known: 3, "same"),
        Loss("1: restored beyond the pair", known: 2, "same"),
        Loss("1: and grown since", known: 3, "same") { try await $0.upload("ann", noteChange(20)) },
        Loss("2: the end is below the pair", "forked"),
        Loss("2: the end is the pair's sequence again", "forked") {
            try await $0.upload("ann", noteChange(20), noteChange(21))
        },
        Loss("2: the end has grown past the pair", "forked") {
            for number in 20...23 { try await $0.upload("ann", noteChange(number)) }
        },
        Loss("3: the same device repeats what was lost", "forked") {
            try await $0.upload("ann", noteChange(4))
            try await $0.upload("ann", noteChange(5))
        },
        Loss("4: another device uploads the same", "forked") {
            try await $0.upload("ann", device: "laptop", noteChange(4))
            try await $0.upload("ann", device: "laptop", noteChange(5))
        },
        Loss("5: plain SQL fills the places", "forked") {
            try await $0.execute(
                """
                INSERT INTO s.notes (id, owner, title)
                VALUES ('\(id("4"))', 'ann', 'a'), ('\(id("5"))', 'ann', 'a')
                """)
        },
        Loss("5: plain SQL goes past the pair", "forked") {
            for number in 4...8 {
                try await $0.execute(
                    "INSERT INTO s.notes (id, owner) VALUES ('\(id("\(number)"))', 'ann')")
            }
        },
        Loss("6: and the change there is compacted away", "unproven") {
            try await $0.upload("ann", noteChange(20))
            try await $0.upload("ann", noteChange(21))
            try await $0.upload("ann", noteChange(22, base: 1, key: "21", "b"))
            _ = try await $0.compact(Retention(superseded: 0, tombstones: 1_000_000))
        },
        Loss("15: restored with the times that it had", known: 3, "same") {
            try await $0.execute(
                """
                CREATE TABLE copied AS SELECT (l::text)::sync.change_log AS l
                FROM sync.change_log l;
                DELETE FROM sync.change_log;
                INSERT INTO sync.change_log SELECT (l).* FROM copied
                """)
        },
    ]

    @Test("A device learns what became of the changes that it knows", arguments: losses)
    func device(learnsOf loss: Loss) async throws {
        try await SyncedDatabase.with { database in
            for number in 1...3 { try await database.upload("ann", noteChange(number)) }
            try await database.back()
            try await database.upload("ann", noteChange(4))
            let fourth = try await database.pair(4)
            try await database.upload("ann", noteChange(5))
            let pairs = [
                try await database.pair(2), try await database.pair(3), fourth,
                try await database.pair(5),
            ]
            let pair = try #require(pairs[loss.known - 2])
            try await database.goBack()
            try await loss.after(database)
            let refusal = loss.expected == "same" ? "served" : "history_\(loss.expected)"
            #expect(
                try await database.verdicts(pair) == [refusal, refusal, loss.expected])
        }
    }

    @Test("An upload of another history is refused before anything is written, its device included")
    func uploadIsRefusedWhole() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            let other = HistoryPair(sequence: 1, tag: 1)
            for pair in [other, HistoryPair(sequence: 9, tag: 1)] {
                let code = await database.code {
                    try await database.upload(
                        pair, device: "new", noteChange(2, base: 1, key: "1", "over"), noteChange(3)
                    )
                }
                #expect(code == "history_forked")
            }
            #expect(try await database.feed("ann") == ["I notes 01 1"])
            #expect(
                try await database.value(
                    "SELECT string_agg(device, ' ') FROM sync.source") == "phone")
            // A user who has nothing, as after a restore to a time before the first upload.
            let code = await database.code {
                _ = try await database.executor.upload(
                    .init(string: #"{"changes":[\#(noteChange(1))]}"#),
                    from: CallerIdentity(user: "new", device: "phone", roles: []),
                    UploadOptions(pair: other), deadline: .now + .seconds(30))
            }
            #expect(code == "history_forked")
            #expect(try await database.value("SELECT count(*)::text FROM sync.scope") == "1")
        }
    }

    @Test("Checks come in this order: access, epoch, fork, floor, what cannot be proved")
    func order() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...4 { try await database.upload("ann", noteChange(number)) }
            try await database.upload("ann", change(5, "DELETE", "notes", id("2"), base: 1))
            let second = try #require(try await database.pair(2))
            try await database.upload("ann", noteChange(6))
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            let other = "00000000-0000-4000-8000-000000000000"
            let wrong = HistoryPair(sequence: 6, tag: 1)
            func code(_ pair: HistoryPair, after: Int = 0, epoch: String? = nil) async -> String {
                await database.code {
                    _ = try await database.pull(pair, after: after, epoch: epoch)
                }
            }
            #expect(await code(second) == "history_unproven")
            #expect(await code(second, after: 2) == "history_pruned")
            #expect(await code(wrong, after: 2) == "history_forked")
            #expect(await code(wrong, after: 99) == "history_forked")
            #expect(await code(wrong, after: 2, epoch: other) == "epoch_changed")
            #expect(
                await database.code { try await database.upload(second, noteChange(7)) }
                    == "history_unproven")
            try await database.execute("UPDATE sync.source SET revoked_at = now()")
            func refused(_ pair: HistoryPair) async throws -> [String] {
                [
                    await database.code {
                        _ = try await database.pull(pair, device: "phone", epoch: other)
                    },
                    await database.code {
                        _ = try await database.executor.upload(
                            .init(string: #"{"changes":[\#(noteChange(8))]}"#),
                            from: CallerIdentity(user: "ann", device: "phone", roles: []),
                            UploadOptions(epoch: other, pair: pair),
                            deadline: .now + .seconds(30))
                    },
                ]
            }
            #expect(try await refused(wrong) == ["device_revoked", "device_revoked"])
        }
    }

    @Test("A delete that is compacted as the log's last change goes on proving what was before it")
    func compactedEnd() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1), noteChange(2))
            try await database.upload("ann", change(3, "DELETE", "notes", id("1"), base: 1))
            let end = try #require(try await database.pair(3))
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(try await database.pair(3) == nil)
            #expect(try await database.verdicts(end) == ["served", "served", "same"])
            #expect(try await database.pull(end, after: 3).pair == end)
            #expect(try await database.upload(end, noteChange(2)).end == end)
            // Others write on.
            try await database.upload("ann", device: "laptop", noteChange(4))
            #expect(try await database.verdicts(end) == ["served", "served", "same"])
            let wrong = HistoryPair(sequence: 3, tag: end.tag ^ 1)
            #expect(
                try await database.verdicts(wrong)
                    == ["history_forked", "history_forked", "forked"])
        }
    }

    @Test("A hole that nobody made on purpose is served, counted, and reported")
    func hole() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...3 { try await database.upload("ann", noteChange(number)) }
            let second = try #require(try await database.pair(2))
            try await database.execute("DELETE FROM sync.change_log WHERE seq = 2")
            #expect(try await database.verdicts(second) == ["served", "served", "same"])
            #expect(try await database.upload(second, noteChange(1)).hasHole)
            #expect(try await !database.upload(database.pair(3), noteChange(1)).hasHole)
            #expect(try await database.verify().0.contains { $0.contains("after=1 next=3") })
        }
    }

    @Test("A change that is written while an upload waits for its log is not taken for a hole")
    func writtenMeanwhile() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            try await database.back()
            try await database.upload("ann", noteChange(2))
            let lost = try #require(try await database.pair(2))
            try await database.goBack()
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: """
                    BEGIN;
                    INSERT INTO s.notes (id, owner) VALUES ('\(id("20"))', 'ann');
                    INSERT INTO s.notes (id, owner) VALUES ('\(id("21"))', 'ann')
                    """)
            async let code = database.code { try await database.upload(lost, noteChange(3)) }
            try await database.expectWaiting(1, asking: other)
            try await other.execute(script: "COMMIT")
            #expect(await code == "history_forked")
        }
    }
}
