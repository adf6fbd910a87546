@testable import DownloadService
import LocalPostgres
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Testing
import TestSupport
@testable import UploadService

/// ```
/// primary   locks the log ── unlocks
/// standby        replays ─┤ paused, locked: pages hang, looks do not
/// ```
@Suite("A standby that hangs")
struct StandbyHangingTests {
    @Test("The primary answers while the request lasts, and the next one is not held up")
    func hanging() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.letPagesHang()
            try await host.remember(pair)
            try await host.expectFit()
            let start = ContinuousClock.now
            let (rows, sources) = try await host.pull(3, pair)
            #expect(rows == [1, 1, 1])
            #expect(sources == ["failed", "no_standby", "no_standby"])
            #expect(.now - start < .seconds(20))
            try await host.resumeReplay()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["standby"])
        }
    }

    /// ```
    /// request   0 s ─────────────── 2 s ────────────── 4 s
    /// standby   asked ─ cancelled ─┤ closed: it does not answer that either
    /// primary                       asked ─ answers
    /// ```
    @Test("One whose machine hangs leaves the primary half of a request's time")
    func frozen() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.expectReplay()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["standby"])
            await host.look()
            try await host.standby.freeze()
            defer { host.standby.thaw() }
            let (reply, sources) = try await host.observed {
                try await host.pull(pair: pair, within: .seconds(4))
            }
            #expect(reply.message.rows == 1 && sources == ["failed"])
            host.standby.thaw()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["standby"])
        }
    }

    @Test("One whose machine hangs keeps nobody from looking at another")
    func looks() async throws {
        try await StandbyHost.with(andMore: 1) { host in
            let hanging = try #require(host.others.first)
            try await host.expectReplay()
            try await host.expectFit()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await host.standbys.run() }
                defer { group.cancelAll() }
                try await hanging.freeze()
                defer { hanging.thaw() }
                let start = ContinuousClock.now
                var found: Set<StandbyTrouble?> = []
                // Two looks at the one that hangs, and what is known of the other grows old twice.
                while .now - start < .seconds(5) {
                    found.insert(host.standbys.known[0].trouble)
                    _ = try await host.source.head()
                }
                #expect(found == [nil])
                guard case .unreachable = host.standbys.known[1].trouble else {
                    Issue.record("it finds \(host.standbys.details)")
                    return
                }
            }
        }
    }

    @Test("Pages that wait for it hold up none of another standby, of the same user either")
    func gates() async throws {
        try await StandbyHost.with(andMore: 1) { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.letPagesHang()
            try await host.remember(pair)
            try await host.expectFit()
            let sources = try await host.sources {
                try await withThrowingTaskGroup(of: UInt32.self) { group in
                    for _ in 0..<16 {
                        group.addTask { try await host.pull(pair: pair).message.rows }
                    }
                    for try await rows in group { #expect(rows == 1) }
                }
            }
            #expect(sources.count { $0 == "standby" } == 8, "\(sources)")
            try await host.resumeReplay()
        }
    }

    @Test("A request that has little time is no failure of the standby's; one with none asks none")
    func ownDeadline() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.letPagesHang()
            for (time, source) in [(2800, "failed"), (1150, "no_time")] {
                try await host.remember(pair)
                try await host.expectFit()
                let (reply, sources) = try await host.observed {
                    try await host.pull(pair: pair, within: .milliseconds(time))
                }
                #expect(reply.message.rows == 1 && sources == [source])
                #expect(host.standbys.known[0].trouble == nil)
            }
            try await host.resumeReplay()
        }
    }
}

extension StandbyHost {
    /// From now on pages of the first standby hang, and looks at it do not.
    fileprivate func letPagesHang() async throws {
        let locker = try await SyncedDatabase.connect(primary.connectionURL())
        defer { locker.close() }
        try await locker.execute(script: "BEGIN; LOCK TABLE sync.change_log")
        let locked = Command(
            Statement(
                name: "locked",
                sql: """
                    SELECT EXISTS (SELECT FROM pg_locks
                        WHERE relation = 'sync.change_log'::regclass
                        AND mode = 'AccessExclusiveLock' AND granted)
                    """))
        let deadline = ContinuousClock.now + .seconds(30)
        while try await !copy.run(locked).bool(0, 0) {
            try #require(.now < deadline, "the lock does not arrive")
        }
        try await pauseReplay()
        try await locker.execute(script: "COMMIT")
        for other in others { try await expectReplay(on: other) }
    }
}
