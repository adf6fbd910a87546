@testable import DownloadService
import Foundation
import LocalPostgres
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Testing
import TestSupport
@testable import UploadService

@Suite("A standby that must not serve, or cannot")
struct StandbyTroubleTests {
    @Test("Killed: the request that meets it is answered, and none asks it again until it is back")
    func killed() async throws {
        try await StandbyHost.with { host in
            let pair = try await host.source.upload(nil, noteChange(1)).end
            try await host.expectReplay()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["standby"])
            try await host.standby.kill()
            let (rows, sources) = try await host.pull(5, pair)
            #expect(rows == [1, 1, 1, 1, 1])
            #expect(sources == ["failed"] + Array(repeating: "no_standby", count: 4))
            await host.look()
            let text = host.standbys.details.first ?? ""
            #expect(text.contains("cannot be asked"), "\(text)")
            try await host.standby.start()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["standby"])
        }
    }

    @Test("Promoted: its pages count no more, before a look shows it and after")
    func promoted() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.expectReplay()
            try await host.expectFit()
            try await host.copy.execute(script: "SELECT pg_promote()")
            #expect(try await host.sources { _ = try await host.pull(pair: pair) } == ["behind"])
            try await host.expect(.noStandby)
            #expect(
                try await host.sources { _ = try await host.pull(pair: pair) } == ["no_standby"])
        }
    }

    @Test("Of another cluster: not asked, though it has the same epoch and the same changes")
    func otherCluster() async throws {
        try await TestDatabase.withCluster { other in
            try await SyncedDatabase.prepare(other.connectionURL())
            try await StandbyHost.with(standbyOf: other) { host in
                let pair = try await host.source.upload(nil, noteChange(1)).end
                let epoch = try await host.source.epoch()
                let connection = try await SyncedDatabase.connect(other.connectionURL())
                defer { connection.close() }
                try await connection.execute(script: "UPDATE sync.meta SET epoch = '\(epoch)'")
                try await host.expect(.otherCluster)
                #expect(
                    try await host.sources { _ = try await host.pull(pair: pair) }
                        == ["no_standby"])
            }
        }
    }

    @Test("Of another epoch: not asked until it has replayed the primary's")
    func otherEpoch() async throws {
        try await StandbyHost.with { host in
            let pair = try await host.source.upload(nil, noteChange(1)).end
            try await host.expectReplay()
            try await host.expectFit()
            try await host.pauseReplay()
            let epoch = try await Epoch.begin(on: host.source.sql, because: "a test").after
            func pull() async throws -> UInt32 {
                try await host.pull(pair: pair) { $0.epoch = epoch }.message.rows
            }
            await host.source.heads.poll()
            #expect(try await host.observed(pull) == (1, ["behind"]))
            try await host.expect(.otherEpoch)
            #expect(try await host.observed(pull) == (1, ["no_standby"]))
            try await host.resumeReplay()
            try await host.expectReplay()
            try await host.expectFit()
            #expect(try await host.observed(pull) == (1, ["standby"]))
        }
    }

    /// ```
    /// primary   1 ── 2 ── killed        the promoted one in its place: 1 ── 2'
    /// one       1 ─┤ cut off ── promoted
    /// standby   1 ── 2 ─────────────────────────────────────── on the old timeline
    /// ```
    @Test("On the old timeline: a change that the promoted primary lost comes from no standby")
    func otherTimeline() async throws {
        try await StandbyHost.with { host in
            let first = try #require(try await host.source.upload(nil, noteChange(1)).end)
            let one = try await host.primary.startStandby(
                directory: host.primary.directory + "-one")
            try await host.expectReplay(on: one)
            try await one.stop()
            let lost = try #require(try await host.source.upload(first, noteChange(2)).end)
            try await host.expectReplay()
            try await host.expectFit()
            #expect(try await host.sources { _ = try await host.pull(pair: lost) } == ["standby"])
            try await host.primary.kill()
            try await one.start()
            try await one.promote(inPlaceOf: host.primary)
            // What the replica remembers is of the old primary until it polls.
            await host.source.heads.poll()
            await host.source.heads.poll()
            func code(_ pair: HistoryPair) async -> String {
                await host.source.code { _ = try await host.pull(pair: pair) }
            }
            #expect(await code(lost) == "history_forked")
            try await host.expect(.otherTimeline)
            let (again, source) = try await host.observed { await code(lost) }
            #expect(again == "history_forked" && source == ["no_standby"])
            let (rows, sources) = try await host.pull(1, first)
            #expect(rows == [1] && sources == ["no_standby"])
        }
    }
}
