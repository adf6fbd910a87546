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

@Suite("Pages from a standby")
struct StandbyPageTests {
    @Test("They are the primary's, byte for byte, in both formats, to old clients and new")
    func bytes() async throws {
        try await StandbyHost.with { host in
            let large = String(repeating: "large ", count: 20_000)
            let end = try #require(
                try await host.source.upload(
                    nil, noteChange(1), noteChange(2, "b"), noteChange(3, large),
                    change(4, "DELETE", "notes", id("1"), base: 1)
                ).end)
            try await host.source.execute(
                "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("9"))', 'ann', 'sql')")
            let epoch = try await host.source.epoch()
            let requests: [(inout PullChangesRequest) -> Void] = [
                { _ in },
                { $0.after = 2 },
                { ($0.limit, $0.until) = (2, 4) },
                { $0.asProtobuf = true },
                { $0.includeSelf = false },
                { $0.epoch = epoch },
                {
                    $0.epoch = epoch
                    ($0.historySeq, $0.historyTag) = (end.sequence, end.tag)
                },
                {
                    ($0.epoch, $0.until, $0.limit) = (epoch, end.sequence, 2)
                    ($0.historySeq, $0.historyTag) = (end.sequence, end.tag)
                },
            ]
            for (number, fill) in requests.enumerated() {
                let expected = try await host.source.pull("ann") { request in
                    request.includeSelf = true
                    fill(&request)
                }
                try await host.expectReplay()
                try await host.expectFit()
                let (reply, sources) = try await host.observed {
                    try await host.pull("ann", fill)
                }
                #expect(reply.message == expected.message, "request \(number)")
                #expect(reply.body == expected.body, "request \(number)")
                #expect(sources == ["standby"], "request \(number)")
            }
        }
    }

    @Test("A device with a pair costs the primary nothing, once its user is followed")
    func memory() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(try await host.source.upload(nil, noteChange(1)).end)
            try await host.source.upload(pair, noteChange(2))
            try await host.expectReplay()
            _ = try await host.source.pull(pair)
            try await host.expectFit()
            await host.source.heads.poll()
            let checks = host.checks
            #expect(
                try await host.sources { _ = try await host.pull(pair: pair) { $0.after = 1 } }
                    == ["standby"])
            #expect(host.checks == checks)
            // Of an old client nobody knows what was acknowledged to it elsewhere.
            let sources = try await host.sources {
                _ = try await host.pull("ann") { $0.after = 1 }
            }
            #expect(sources == ["standby"])
            #expect(host.checks == checks + 1)
        }
    }

    /// ```
    /// phone     uploads ── acknowledged ── asks: its own change, and a pair of it
    /// primary      3
    /// standby      2 (replay paused)          asked, and proves too little
    /// memory       2 (another host's Upload)
    /// ```
    @Test("A page after an acknowledged upload is never stale, however far the standby is behind")
    func behind() async throws {
        try await StandbyHost.with { host in
            let known = try #require(
                try await host.source.upload(nil, noteChange(1), noteChange(2)).end)
            _ = try await host.source.pull(known)
            try await host.expectReplay()
            try await host.source.upload("bob", change(1, "INSERT", "notes", id("b1"), "{}"))
            try await host.expectReplay()
            try await host.pauseReplay()
            let told = try #require(try await host.source.upload(known, noteChange(3)).end)
            for isAnnounced in [false, true] {
                if isAnnounced {
                    host.source.heads.remember(told.sequence, tag: told.tag, of: UserID("ann"))
                }
                for pair in [told, nil] {
                    try await host.expectFit()
                    let (reply, sources) = try await host.observed {
                        try await host.pull(device: "phone", pair: pair) { $0.after = 2 }
                    }
                    #expect(reply.message.rows == 1 && reply.message.nextAfter == 3)
                    #expect(sources == ["behind"])
                }
            }
            // Who wrote nothing since is served.
            #expect(try await host.sources { _ = try await host.pull("bob") } == ["standby"])
            #expect((host.standbys.known.first?.lag.bytes ?? 0) > 0)
            try await host.resumeReplay()
            try await host.expectReplay()
            try await host.expectFit()
            #expect(
                try await host.sources { _ = try await host.pull(pair: told) { $0.after = 2 } }
                    == ["standby"])
            #expect(host.standbys.known.first?.lag.bytes == 0)
        }
    }

    @Test("Uploads and pages in turn, on a standby that applies late: each page has the upload")
    func everyPage() async throws {
        try await StandbyHost.with { host in
            try await host.copy.execute(
                script: "ALTER SYSTEM SET recovery_min_apply_delay = '20ms'")
            try await host.copy.execute(script: "SELECT pg_reload_conf()")
            var pair: HistoryPair?
            var sources: [String] = []
            for number in 1...60 {
                if number % 10 == 1 { try await host.expectFit() }
                pair = try await host.source.upload(pair, noteChange(number)).end
                for known in [pair, nil] {
                    let (own, source) = try await host.observed {
                        try await host.pull(device: "phone", pair: known) {
                            $0.after = Int64(number - 1)
                        }
                    }
                    #expect(own.message.nextAfter == number)
                    sources += source
                }
                // Another reader of the user, from the start.
                let (all, source) = try await host.observed { try await host.pull(pair: pair) }
                #expect(all.message.rows == number)
                sources += source
            }
            #expect(sources.count == 180)
            #expect(sources.contains("behind"))
        }
    }

    @Test("The primary's verdicts are never a standby's: forks, floors, epochs, cursors, access")
    func verdicts() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(
                try await host.source.upload(nil, noteChange(1), noteChange(2), noteChange(3)).end)
            let epoch = try await host.source.epoch()
            try await host.expectReplay()
            try await host.pauseReplay()
            try await host.expectFit()
            func code(
                _ pair: HistoryPair? = nil, after: Int = 0, device: String = "reader"
            ) async throws -> [String] {
                try await host.expectFit()
                let (code, sources) = try await host.observed {
                    await host.source.code {
                        _ = try await host.pull(device: device, pair: pair) {
                            ($0.epoch, $0.after) = (epoch, Int64(after))
                        }
                    }
                }
                return [code] + sources
            }
            let second = try #require(try await host.source.pair(2))
            #expect(try await code(second) == ["served", "standby"])
            let other = HistoryPair(sequence: 2, tag: second.tag ^ 1)
            #expect(try await code(other) == ["history_forked", "behind"])
            let beyond = HistoryPair(sequence: 9, tag: 1)
            #expect(try await code(beyond) == ["history_forked", "primary_only"])
            #expect(try await code(after: 9) == ["checkpoint_ahead", "primary_only"])

            // The standby has not heard of it.
            try await host.source.execute("UPDATE sync.scope SET floor_seq = 2")
            await host.source.heads.poll()
            #expect(try await code(pair, after: 1) == ["history_pruned", "primary_only"])
            #expect(try await code(second, after: 2) == ["served", "standby"])
            #expect(try await code(second) == ["served", "behind"])

            try await host.source.upload("ann", device: "tablet", noteChange(4))
            try await host.source.execute(
                "UPDATE sync.source SET revoked_at = now() WHERE device = 'tablet'")
            #expect(try await code(device: "tablet") == ["device_revoked"])
            await host.source.heads.poll()
            #expect(try await code(second, device: "tablet") == ["device_revoked"])
        }
    }
}
