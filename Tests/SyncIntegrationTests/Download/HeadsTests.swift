@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
import SwiftProtobuf
import Testing
@testable import UploadService

@Suite("What a replica knows of the users' logs")
struct HeadsTests {
    private static func note(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("\(number + 100)"), #"{"title":"\#(number)"}"#)
    }

    private static func rows(_ reply: RPCReply<PullChangesReply>) -> UInt32 { reply.message.rows }

    @Test("An idle poll is answered without the database, also while nobody can read it")
    func idle() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", Self.note(1))
            #expect(Self.rows(try await database.pull("ann")) == 1)
            let locker = try await SyncedDatabase.connect(database.url)
            defer { locker.close() }
            try await locker.execute(
                script:
                    "BEGIN; LOCK TABLE sync.scope, sync.meta, sync.change_log IN ACCESS EXCLUSIVE MODE"
            )
            let idle = try await database.pull("ann") { $0.after = 1 }
            #expect(
                String(buffer: idle.body) == """
                    {"changes":[],"has_more":false,"next_after":1,"window_until":1}

                    """)
            // A window that the cursor has passed is empty whatever comes.
            let passed = try await database.pull("ann") { ($0.after, $0.until) = (1, 1) }
            #expect(passed.message.windowUntil == 1)
            // A device that has not read everything is not told that it has.
            await #expect(throws: RPCFailure.self) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try await database.pull("ann") { $0.after = 0 } }
                    group.addTask {
                        try await database.expectWaiting(1, asking: locker)
                        throw RPCFailure.cancelled
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
            try await locker.execute(script: "ROLLBACK")
        }
    }

    @Test("What Upload tells of is served at once, whatever the replica knew before")
    func told() async throws {
        try await SyncedDatabase.with { database in
            let first = try await database.upload("ann", Self.note(1))
            #expect(Self.rows(try await database.pull("ann") { $0.after = 0 }) == 1)
            #expect(Self.rows(try await database.pull("ann") { $0.after = 1 }) == 0)
            let second = try await database.upload("ann", Self.note(2))
            database.heads.remember(second.highestSequence, of: UserID("ann"))
            #expect(Self.rows(try await database.pull("ann") { $0.after = 1 }) == 1)
            // An older word changes nothing.
            database.heads.remember(first.highestSequence, of: UserID("ann"))
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 2)
            // A reading that began before the commit does not take it back.
            let before = ContinuousClock.now
            let known = try #require(database.heads.known(UserID("ann"), for: DeviceID("reader")))
            database.heads.remember(3, of: UserID("ann"))
            database.heads.learn(
                known, of: UserID("ann"), .admits(DeviceID("reader")), asked: before)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 3)
            // One that began after the word does: it was false, or the database was restored since.
            await database.heads.poll()
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 2)
        }
    }

    @Test("A word that comes while a user's first page is being read is not lost")
    func race() async throws {
        try await SyncedDatabase.with { database in
            // The page is asked for: from now on the user is followed.
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader")) == nil)
            let asked = ContinuousClock.now
            database.heads.remember(7, of: UserID("ann"))
            database.heads.learn(
                ScopeState(epoch: "e", head: 6, floor: 0), of: UserID("ann"),
                .admits(DeviceID("reader")), asked: asked)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 7)
            // Two readings at once: the one that is heard of first may have been the later.
            database.heads.learn(
                ScopeState(epoch: "e", head: 9, floor: 0), of: UserID("ann"),
                .admits(DeviceID("reader")), asked: asked)
            database.heads.learn(
                ScopeState(epoch: "e", head: 8, floor: 0), of: UserID("ann"),
                .admits(DeviceID("reader")), asked: asked)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 9)
            // Another history: what was told of the old one means nothing.
            database.heads.learn(
                ScopeState(epoch: "f", head: 2, floor: 0), of: UserID("ann"),
                .admits(DeviceID("reader")), asked: .now)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 2)
        }
    }

    @Test("What was not confirmed for long is not answered from memory; unused users are forgotten")
    func age() async throws {
        try await SyncedDatabase.with { database in
            let start = ContinuousClock.now
            _ = database.heads.known(UserID("ann"), for: DeviceID("reader"))
            database.heads.learn(
                ScopeState(epoch: "e", head: 6, floor: 0), of: UserID("ann"),
                .admits(DeviceID("reader")), asked: start)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"), now: start) != nil)
            let late = start + ScopeHeads.freshness + .milliseconds(1)
            #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"), now: late) == nil)
            _ = database.heads.known(
                UserID("old"), for: DeviceID("reader"), now: start - ScopeHeads.retention)
            #expect(database.heads.tracked == 2)
            await database.heads.poll()
            #expect(database.heads.tracked == 1)
        }
    }

    @Test("A device that waits is woken by a word of Upload, and by a poll for plain SQL")
    func waiting() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", Self.note(1))
            for round in 1...2 {
                async let page = database.pull("ann") { request in
                    (request.after, request.waitSeconds) = (Int64(round), 50)
                }
                while database.heads.waiting == 0 { await Task.yield() }
                if round == 1 {
                    let result = try await database.upload("ann", Self.note(2))
                    database.heads.remember(result.highestSequence, of: UserID("ann"))
                } else {
                    try await database.execute("UPDATE s.notes SET title = 'plain'")
                    await database.heads.poll()
                }
                #expect(Self.rows(try await page) == (round == 1 ? 1 : 2))
            }
            #expect(database.heads.waiting == 0)
        }
    }

    @Test("A page that is to be fresh has what plain SQL wrote just before")
    func fresh() async throws {
        try await SyncedDatabase.with { database in
            let uploaded = try await database.upload("ann", Self.note(1)).highestSequence
            for round in 1...5 {
                let head = uploaded + Int64(round - 1)
                #expect(Self.rows(try await database.pull("ann") { $0.after = head }) == 0)
                try await database.execute("UPDATE s.notes SET title = 'plain \(round)'")
                // The replica has not looked since.
                #expect(Self.rows(try await database.pull("ann") { $0.after = head }) == 0)
                let page = try await database.pull("ann") { request in
                    (request.after, request.fresh) = (head, true)
                }
                #expect(page.message.windowUntil == head + 1)
                #expect(Self.rows(page) == 1)
            }
        }
    }

    @Test("A window that began fresh is read to its end by a replica that has not looked since")
    func windowOfAnotherReplica() async throws {
        try await SyncedDatabase.with { database in
            let head = try await database.upload("ann", Self.note(1)).highestSequence
            let idle = try await database.pull("ann") { $0.after = head }
            #expect(Self.rows(idle) == 0)
            try await database.execute("UPDATE s.notes SET title = 'plain'")
            let page = try await database.pull("ann") { (request: inout PullChangesRequest) in
                request.after = head
                request.until = head + 1
            }
            #expect(page.message.windowUntil == head + 1)
            #expect(Self.rows(page) == 1)
        }
    }

    @Test(
        "A commit that nobody tells of wakes who waits at the next probe, and nobody else is asked for"
    )
    func probed() async throws {
        try await SyncedDatabase.with { database in
            let start = ContinuousClock.now
            for (user, number) in [("ann", 1), ("bob", 11)] {
                try await database.upload(user, Self.note(number))
                _ = try await database.pull(user)
            }
            async let page = database.pull("ann") { ($0.after, $0.waitSeconds) = (1, 50) }
            while database.heads.waiting == 0 { await Task.yield() }
            #expect(await database.heads.probe() == .read)
            try await database.upload("bob", Self.note(12))
            try await database.upload("ann", Self.note(2))
            #expect(await database.heads.probe() == .read)
            #expect(Self.rows(try await page) == 1)
            #expect(
                database.heads.known(UserID("ann"), for: DeviceID("reader"), now: start)?.head == 2)
            #expect(
                database.heads.known(UserID("bob"), for: DeviceID("reader"), now: start)?.head == 1)
            #expect(database.heads.readings.states == 0)
        }
    }

    @Test(
        "While nothing is written nobody's last sequence is asked for, and what is known stays good"
    )
    func quiet() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", Self.note(1))
            _ = try await database.pull("ann")
            async let page = database.pull("ann") { ($0.after, $0.waitSeconds) = (1, 50) }
            while database.heads.waiting == 0 { await Task.yield() }
            // Other tests write to the same cluster: the test needs a moment without their writes.
            let end = ContinuousClock.now + .seconds(60)
            var quiet = 0
            while quiet == 0, .now < end {
                await database.heads.poll()
                let (before, mark) = (database.heads.readings, try await database.mark())
                let asked = ContinuousClock.now
                let probed = await database.heads.probe()
                await database.heads.poll()
                let after = database.heads.readings
                guard try await database.mark() == mark, after.states == before.states else {
                    continue
                }
                #expect(probed == .quiet)
                #expect(after.grown == before.grown)
                #expect(after.marks == before.marks + 2)
                let late = asked + ScopeHeads.freshness - .milliseconds(1)
                let known = database.heads.known(UserID("ann"), for: DeviceID("reader"), now: late)
                #expect(known?.head == 1)
                quiet += 1
            }
            #expect(quiet == 1, "other tests never stopped writing")
            try await database.upload("ann", Self.note(2))
            await database.heads.probe()
            #expect(Self.rows(try await page) == 1)
        }
    }

    @Test("A replica that nobody tells of commits hears of most of them before a poll is due")
    func fast() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", Self.note(1))
            _ = try await database.pull("ann")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await database.heads.run() }
                defer { group.cancelAll() }
                var heardBeforePoll = 0
                let commits = 2...12
                for number in commits {
                    async let woken = database.heads.wait(
                        for: UserID("ann"), DeviceID("reader"), beyond: Int64(number - 1),
                        until: nil)
                    while database.heads.waiting == 0 { await Task.yield() }
                    try await database.upload("ann", Self.note(number))
                    let polls = database.heads.readings.states
                    #expect(try await woken)
                    if database.heads.readings.states == polls { heardBeforePoll += 1 }
                }
                #expect(heardBeforePoll > commits.count / 2)
            }
        }
    }

    @Test("A revoked device reads no more, from memory or otherwise; a watch of it ends")
    func revoked() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "phone", Self.note(1))
            try await database.upload("ann", device: "tablet", Self.note(2))
            try await database.upload("ann", device: "watch", Self.note(4))
            try await database.execute(
                "UPDATE sync.source SET revoked_at = now() WHERE device = 'watch'")
            #expect(Self.rows(try await database.pull("ann", device: "phone")) == 2)
            // That the phone may read says nothing of another device.
            let code = await database.code {
                _ = try await database.pull("ann", device: "watch") { $0.after = 3 }
            }
            #expect(code == "device_revoked")
            try await database.execute(
                "UPDATE sync.source SET revoked_at = now() WHERE device = 'phone'")
            await database.heads.poll()
            for after in [0, 3] {
                await #expect(throws: RPCFailure.self) {
                    try await database.pull("ann", device: "phone") { $0.after = Int64(after) }
                }
            }
            await #expect(throws: RPCFailure.self) {
                try await database.upload("ann", device: "phone", Self.note(3))
            }
            #expect(Self.rows(try await database.pull("ann", device: "tablet")) == 2)
        }
    }

    @Test(
        "H5: a restored server is told from the one that was, and a cursor beyond its end is refused"
    )
    func epoch() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", Self.note(1))
            let epoch = try #require(try await database.value("SELECT epoch::text FROM sync.meta"))
            func code(_ after: Int, _ epoch: String) async -> String {
                do {
                    _ = try await database.pull("ann") {
                        ($0.after, $0.epoch) = (Int64(after), epoch)
                    }
                    return "served"
                } catch {
                    return (error as? RPCFailure)?.code ?? "\(error)"
                }
            }
            #expect(await code(0, epoch) == "served")
            #expect(await code(1, epoch) == "served")
            #expect(await code(2, epoch) == "checkpoint_ahead")
            // Older clients do not know these answers, and get none.
            #expect(await code(2, "") == "served")
            let other = "00000000-0000-4000-8000-000000000000"
            #expect(await code(0, other) == "epoch_changed")
            await #expect(throws: RPCFailure.self) {
                try await database.upload("ann", epoch: other, Self.note(2))
            }
            #expect(try await database.download("ann").count == 1)
            try await database.upload("ann", epoch: epoch, Self.note(2))

            // As `oversync restore` does: memory of the old history goes with the next reading.
            try await database.execute("UPDATE sync.meta SET epoch = '\(other)'")
            await database.heads.poll()
            #expect(await code(2, epoch) == "epoch_changed")
            #expect(await code(2, other) == "served")
        }
    }

    @Test("The two forms of a page say the same")
    func protobuf() async throws {
        let label = #"{"label":"1e40", "big":12345678901234567890}"#
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", Self.note(1), change(2, "INSERT", "tags", "é x", label))
            try await database.upload("ann", change(3, "DELETE", "notes", id("101"), base: 1))
            let json = try await database.download("ann")
            let reply = try await database.pull("ann") { $0.asProtobuf = true }
            let page = try BodyDownloadResponse(
                serializedBytes: Array(reply.body.readableBytesView))
            #expect(page.changes.map(\.serverID) == json.map { Int64($0.sequence) })
            #expect(page.changes.map(\.pk) == json.map(\.key))
            #expect(page.changes.map(\.op) == json.map(\.operation))
            #expect(page.changes.map(\.serverVersion) == [1, 1, 2])
            #expect(page.changes.map(\.sourceID) == ["phone", "phone", "phone"])
            #expect(page.changes.map(\.sourceChangeID) == [1, 2, 3])
            #expect(page.changes.map(\.deleted) == [false, false, true])
            #expect(String(decoding: page.changes[1].payload, as: UTF8.self) == label)
            #expect(page.changes[2].payload.isEmpty)
            #expect(page.changes.allSatisfy { $0.ts.contains("T") && $0.ts.hasSuffix("Z") })
            #expect(page.nextAfter == 3 && page.windowUntil == 3 && !page.hasMore_p)
            let empty = try await database.pull("ann") { ($0.asProtobuf, $0.after) = (true, 3) }
            #expect(
                try BodyDownloadResponse(serializedBytes: Array(empty.body.readableBytesView))
                    == .with { ($0.nextAfter, $0.windowUntil) = (3, 3) })
        }
    }
}

extension SyncedDatabase {
    /// What changes as soon as anybody has written to the cluster.
    fileprivate func mark() async throws -> String {
        try await sql.run(DownloadStatements.ReadMark()).one().mark
    }
}
