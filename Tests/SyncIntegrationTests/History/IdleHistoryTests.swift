@testable import DownloadService
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Synchronization
import Telemetry
import Testing
@testable import UploadService

/// What a replica of Download remembers of histories, so that idle devices cost no SQL.
@Suite("Histories in memory")
struct IdleHistoryTests {
    private static let ann = UserID("ann")

    private func known(_ database: SyncedDatabase) -> ScopeState? {
        database.heads.known(Self.ann, for: DeviceID("reader"))
    }

    @Test("A tag comes with Upload's word, with a page, and with the poll")
    func learnt() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            #expect(known(database) == nil)
            _ = try await database.pull(nil)
            let first = try await database.pair(1)
            #expect(known(database)?.end == first)
            // The word.
            let result = try await database.upload("ann", noteChange(2))
            database.heads.remember(2, tag: result.end?.tag, of: Self.ann)
            let second = try await database.pair(2)
            #expect(known(database)?.end == second)
            // An older client's page does not ask for it, and takes nothing away.
            _ = try await database.pull("ann") { ($0.after, $0.fresh) = (2, true) }
            #expect(known(database)?.end == second)
            // Plain SQL leaves no tag: the head is found by the poll, the tag by a page.
            try await database.execute("UPDATE s.notes SET title = 'sql' WHERE id = '\(id("1"))'")
            await database.heads.poll()
            #expect(known(database)?.head == 3 && known(database)?.end == nil)
            let third = try await database.pair(3)
            #expect(try await database.pull(second, after: 3).pair == third)
            #expect(known(database)?.end == third)
            await database.heads.poll()
            #expect(known(database)?.end == third)
            // The next upload's tag, without a word.
            try await database.upload("ann", noteChange(4))
            await database.heads.poll()
            let fourth = try await database.pair(4)
            #expect(known(database)?.end == fourth)
        }
    }

    @Test("Of another database nothing is taken for known, though its logs end alike")
    func otherDatabase() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            try await database.execute("UPDATE s.notes SET title = 'sql'")
            let pair = try #require(try await database.pair(2))
            _ = try await database.pull(pair, after: 2)
            await database.heads.poll()
            #expect(known(database)?.end == pair)
            try await database.putCopyInPlace()
            // Connections to the first one are gone.
            let deadline = ContinuousClock.now + .seconds(30)
            while await database.heads.poll() == .failed { try #require(.now < deadline) }
            #expect(known(database)?.head == 2 && known(database)?.end == nil)
        }
    }

    /// ```
    /// device     waits at 2 ─────────────────────────── is told
    /// database                  loses 2 ── writes 2'
    /// replica                              polls
    /// ```
    @Test("A device that waits is told at once that the log is another one", arguments: [1, 2, 3])
    func longPoll(newHead: Int) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            try await database.back()
            try await database.upload("ann", noteChange(2))
            let pair = try #require(try await database.pair(2))
            let epoch = try await database.epoch()
            async let code = database.code {
                _ = try await database.pull("ann") { request in
                    (request.after, request.waitSeconds, request.epoch) = (2, 50, epoch)
                    (request.historySeq, request.historyTag) = (pair.sequence, pair.tag)
                }
            }
            while database.heads.waiting == 0 { await Task.yield() }
            try await database.goBack()
            for number in 1..<max(newHead, 1) {
                try await database.upload("ann", noteChange(20 + number))
            }
            await database.heads.poll()
            #expect(await code == "history_forked")
        }
    }

    @Test(
        "A watch ends when the log's end falls or has another tag; an older client's goes on",
        arguments: [1, 2])
    func watch(newHead: Int) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            try await database.back()
            try await database.upload("ann", noteChange(2))
            let pair = try #require(try await database.pair(2))
            let epoch = try await database.epoch()
            // One that begins with a pair that is not there is refused before its first word.
            let none = Heads()
            let refused = await Self.follow(database, none) {
                ($0.historySeq, $0.historyTag) = (1, 1)
            }
            #expect(refused == "history_forked" && none.all == [])

            let (told, older) = (Heads(), Heads())
            async let code = Self.follow(database, told) {
                ($0.epoch, $0.historySeq, $0.historyTag) = (epoch, pair.sequence, pair.tag)
            }
            let plain = Task { await Self.follow(database, older) { _ in } }
            while database.heads.waiting < 2 { await Task.yield() }
            try await database.goBack()
            if newHead == 2 { try await database.upload("ann", noteChange(20)) }
            await database.heads.poll()
            #expect(await code == "history_forked")
            #expect(told.all == [2])
            while database.heads.waiting < 1 { await Task.yield() }
            #expect(older.all == (newHead == 1 ? [2, 1] : [2]))
            plain.cancel()
            #expect(await plain.value != "history_forked")
        }
    }

    private static func follow(
        _ database: SyncedDatabase, _ heads: Heads,
        _ fill: @Sendable (inout WatchHeadRequest) -> Void
    ) async -> String {
        let watch = WatchHead(
            reader: database.reader, heads: database.heads,
            metrics: DownloadMetrics(MetricsRegistry()), logger: SyncedDatabase.logger)
        var request = WatchHeadRequest()
        fill(&request)
        return await database.code { [request] in
            try await watch.follow(
                request,
                CallContext(
                    requestID: "t", deadline: .now + .seconds(60),
                    caller: CallerIdentity(user: "ann", device: "reader"))
            ) { heads.append($0) }
        }
    }

    /// The last sequences that a watch was told.
    private final class Heads: Sendable {
        private let heads = Mutex<[Sequence64]>([])

        var all: [Sequence64] { heads.withLock { $0 } }

        func append(_ head: Sequence64) { heads.withLock { $0.append(head) } }
    }
}
