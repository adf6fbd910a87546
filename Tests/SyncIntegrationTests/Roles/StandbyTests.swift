@testable import DownloadService
import Foundation
import LocalPostgres
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Telemetry
import Testing
import TestSupport
@testable import UploadService

@Suite("A hot standby")
struct StandbyTests {
    @Test("Download's statements run on it: pages, large rows, bootstrap, heads, the catalog")
    func download() async throws {
        try await TestDatabase.withCluster { primary in
            let url = primary.connectionURL()
            try await SyncedDatabase.prepare(url)
            try await Self.withStandby(of: primary, "one") { standby in
                try await Self.read(url, standby.connectionURL())
            }
        }
    }

    @Test(
        "Standbys of one history have one name, so that a balancer of theirs costs no reading")
    func names() async throws {
        try await TestDatabase.withCluster { primary in
            let url = primary.connectionURL()
            try await SyncedDatabase.prepare(url)
            try await Self.withStandby(of: primary, "one") { one in
                try await Self.withStandby(of: primary, "two") { two in
                    func name(_ url: String) async throws -> String {
                        let connection = try await SyncedDatabase.connect(url)
                        defer { connection.close() }
                        return try await connection.run(DownloadStatements.ReadMark()).one()
                            .database
                    }
                    let standby = try await name(one.connectionURL())
                    #expect(try await name(two.connectionURL()) == standby)
                    #expect(try await name(url) != standby)
                    let promoted = try await SyncedDatabase.connect(one.connectionURL())
                    defer { promoted.close() }
                    try await promoted.execute(script: "SELECT pg_promote()")
                    #expect(try await name(one.connectionURL()) != standby)
                    #expect(try await name(one.connectionURL()) != name(url))
                    // A standby that was rebuilt from a primary with another history.
                    try await Self.withStandby(of: one, "three") { three in
                        let rebuilt = try await name(three.connectionURL())
                        #expect(rebuilt.hasPrefix("standby ") && rebuilt != standby)
                    }
                }
            }
        }
    }

    private static func withStandby(
        of primary: LocalPostgres, _ name: String, _ body: (LocalPostgres) async throws -> Void
    ) async throws {
        let standby = try await primary.startStandby(directory: primary.directory + "-\(name)")
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await body(standby))
        } catch {
            outcome = .failure(error)
        }
        try? await standby.destroy()
        try outcome.get()
    }

    private static func read(_ primary: String, _ standby: String) async throws {
        let sql = try await SyncedDatabase.connect(primary)
        defer { sql.close() }
        let source = try SyncedDatabase(primary, sql, reaching: PostgresConfiguration(url: primary))
        let large = String(repeating: "large ", count: 20_000)
        try await source.upload(
            "ann", change(1, "INSERT", "notes", id("1"), #"{"title":"small"}"#),
            change(2, "INSERT", "notes", id("2"), #"{"title":"\#(large)"}"#))
        let copy = try await SyncedDatabase.connect(standby)
        defer { copy.close() }
        try await expectReplay(of: sql, on: copy)

        let database = try SyncedDatabase(
            standby, copy, reaching: PostgresConfiguration(url: standby))
        #expect(try await database.value("SELECT pg_is_in_recovery()::text") == "true")
        #expect(try await database.feed("ann") == ["I notes 01 1", "I notes 02 1"])
        let page = try await database.pull("ann") { $0.includeSelf = true }
        #expect(page.body.readableBytes > large.utf8.count)
        let bootstrap = try await ReadBootstrap(pool: database.downloadPool).read(
            UserID("ann"), DeviceID("phone"), .now + .seconds(30))
        #expect(bootstrap.nextChangeID == 3)
        await database.heads.poll()
        #expect(database.heads.known(UserID("ann"), for: DeviceID("reader"))?.head == 2)
        try await expectNoVerdictFromLag(source, copy, database)
        try await expectHydrationIsAwaited(sql, copy, database)
        try await expectWatchGoesOn(source, copy, database)
    }

    /// ```
    /// watch      3 ────── 4 ────────── 3 ───────── 4
    /// Upload      ╲ word ╱ (replay      ╲           ╲
    /// poll                   paused)  the standby's  the standby's
    /// ```
    ///
    /// A standby whose log ends before what a watch was told has lost nothing.
    private static func expectWatchGoesOn(
        _ primary: SyncedDatabase, _ copy: PostgresConnection, _ standby: SyncedDatabase
    ) async throws {
        let known = try #require(try await standby.pair(3))
        let (told, teller) = AsyncStream.makeStream(of: Sequence64.self)
        let watch = WatchHead(
            reader: standby.reader, heads: standby.heads,
            metrics: DownloadMetrics(MetricsRegistry()), logger: SyncedDatabase.logger)
        var request = WatchHeadRequest()
        (request.after, request.historySeq) = (known.sequence, known.sequence)
        request.historyTag = known.tag
        let context = CallContext(
            requestID: "t", deadline: .now + .seconds(30),
            caller: CallerIdentity(user: "ann", device: "reader"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [request] in
                defer { teller.finish() }
                try await watch.follow(request, context) { teller.yield($0) }
            }
            var heads = told.makeAsyncIterator()
            #expect(await heads.next() == 3)
            try await copy.execute(script: "SELECT pg_wal_replay_pause()")
            let later = try #require(try await primary.upload(known, noteChange(4)).end)
            standby.heads.remember(later.sequence, tag: later.tag, of: UserID("ann"))
            #expect(await heads.next() == 4)
            await standby.heads.poll()
            #expect(await heads.next() == 3)
            try await copy.execute(script: "SELECT pg_wal_replay_resume()")
            try await expectReplay(of: primary.sql, on: copy)
            await standby.heads.poll()
            #expect(await heads.next() == 4)
            standby.heads.close()
            try await group.waitForAll()
        }
    }

    /// What a standby has not replayed is not lost. It proves what it has, and leaves it to the
    /// primary to say that a history has forked.
    private static func expectNoVerdictFromLag(
        _ primary: SyncedDatabase, _ copy: PostgresConnection, _ standby: SyncedDatabase
    ) async throws {
        let known = try #require(try await standby.pair(2))
        try await copy.execute(script: "SELECT pg_wal_replay_pause()")
        let later = try #require(try await primary.upload(known, noteChange(3)).end)
        #expect(later.sequence == 3)
        func standing(_ pair: HistoryPair) async throws -> String {
            try await ReadBootstrap(pool: standby.downloadPool).read(
                UserID("ann"), DeviceID("phone"), .now + .seconds(30), pair: pair
            ).history
        }
        #expect(try await standby.pull(known, after: 2).pair == known)
        #expect(try await standing(known) == "same")
        #expect(await standby.code { _ = try await standby.pull(later, after: 2) } == "served")
        #expect(try await standing(later).isEmpty)
        let other = HistoryPair(sequence: 2, tag: known.tag ^ 1)
        #expect(await standby.code { _ = try await standby.pull(other) } == "unavailable")
        #expect(try await standing(other).isEmpty)
        #expect(await primary.code { _ = try await primary.pull(other) } == "history_forked")
        // A user whose first upload has not come yet.
        let code = await standby.code {
            _ = try await standby.pull("new", device: "phone") {
                ($0.historySeq, $0.historyTag) = (1, 1)
            }
        }
        #expect(code == "served")
        try await copy.execute(script: "SELECT pg_wal_replay_resume()")
        try await expectReplay(of: primary.sql, on: copy)
        #expect(try await standby.pull(later, after: 3).pair == later)
    }

    /// A device that begins at 0 gets its first page when its second one would be served here.
    private static func expectHydrationIsAwaited(
        _ primary: PostgresConnection, _ copy: PostgresConnection, _ standby: SyncedDatabase
    ) async throws {
        try await copy.execute(script: "SELECT pg_wal_replay_pause()")
        try await primary.execute(
            script: """
                UPDATE sync.scope SET floor_seq = 1 WHERE user_id = 'ann';
                INSERT INTO sync.hydration (scope_id, device, floor_seq)
                SELECT scope_id, 'reader', 1 FROM sync.scope WHERE user_id = 'ann'
                """)
        func awaited(_ time: Duration) async throws {
            try await standby.reader.expectHydration(
                of: UserID("ann"), DeviceID("reader"), from: 1, deadline: .now + time)
        }
        let error = await #expect(throws: RPCFailure.self) {
            try await awaited(.milliseconds(600))
        }
        #expect(error?.status == .unavailable)
        try await copy.execute(script: "SELECT pg_wal_replay_resume()")
        try await awaited(.seconds(30))
    }

    private static func expectReplay(
        of primary: PostgresConnection, on standby: PostgresConnection
    ) async throws {
        let position = try await primary.run(
            Command(Statement(name: "position", sql: "SELECT pg_current_wal_flush_lsn()::text"))
        ).string(0, 0)
        let replayed = Command(
            Statement(
                name: "replayed_\(position)",
                sql: "SELECT pg_last_wal_replay_lsn() >= '\(position)'::pg_lsn"))
        let deadline = ContinuousClock.now + .seconds(30)
        while try await !standby.run(replayed).bool(0, 0) {
            try #require(.now < deadline, "the standby does not follow")
        }
    }
}
