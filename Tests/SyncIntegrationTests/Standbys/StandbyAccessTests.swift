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

@Suite("What the primary says before a standby serves")
struct StandbyAccessTests {
    /// ```
    /// primary   revokes the tablet
    /// standby   (replay paused)
    /// replica   knows ann's log from a page of another device; asks whether the tablet may read
    /// ```
    @Test("A revoked device reads nothing from a standby that has not heard of it")
    func revoked() async throws {
        try await StandbyHost.with { host in
            try await host.source.upload("ann", device: "tablet", noteChange(1))
            try await host.source.upload("ann", device: "watch", noteChange(1, key: "2"))
            let pair = try #require(try await host.source.upload(nil, noteChange(3, "b")).end)
            try await host.expectReplay()
            try await host.pauseReplay()
            try await host.expectFit()
            try await host.source.execute(
                "UPDATE sync.source SET revoked_at = now() WHERE device = 'tablet'")
            _ = try await host.source.pull(pair)
            func pull(_ device: String, after: Int64 = 0) async throws -> [String] {
                let (code, sources) = try await host.observed {
                    await host.source.code {
                        _ = try await host.pull(device: device, pair: pair) { $0.after = after }
                    }
                }
                return [code] + sources
            }
            #expect(try await pull("tablet") == ["device_revoked"])
            // Nor from memory, before anybody has asked for ann's devices.
            #expect(try await pull("tablet", after: 3).first == "device_revoked")
            // One that may read is asked for once.
            let checks = host.checks
            for _ in 0..<2 { #expect(try await pull("watch") == ["served", "standby"]) }
            #expect(host.checks == checks + 1)
            // The poll asks for all of a user's.
            await host.source.heads.poll()
            #expect(try await pull("phone") == ["served", "standby"])
            #expect(host.checks == checks + 1)
            #expect(try await pull("tablet") == ["device_revoked"])
        }
    }

    @Test("An empty page is the primary's, byte for byte, and asks it once")
    func empty() async throws {
        try await StandbyHost.with { host in
            let pair = try #require(
                try await host.source.upload(nil, noteChange(1), noteChange(2)).end)
            let epoch = try await host.source.epoch()
            try await host.expectReplay()
            try await host.expectFit()
            let first = try #require(try await host.source.pair(1))
            let requests: [(user: String, fill: (inout PullChangesRequest) -> Void)] = [
                ("ann", { ($0.after, $0.fresh) = (2, true) }),
                ("ann", { ($0.after, $0.until, $0.fresh) = (2, 2, true) }),
                ("ann", { ($0.after, $0.fresh, $0.asProtobuf) = (2, true, true) }),
                ("ann", { ($0.after, $0.fresh, $0.epoch) = (2, true, epoch) }),
                ("ann", { ($0.after, $0.fresh) = (9, true) }),
                (
                    "ann",
                    {
                        ($0.after, $0.fresh, $0.epoch) = (2, true, epoch)
                        ($0.historySeq, $0.historyTag) = (pair.sequence, pair.tag)
                    }
                ),
                (
                    "ann",
                    {
                        ($0.after, $0.fresh) = (2, true)
                        ($0.historySeq, $0.historyTag) = (first.sequence, first.tag)
                    }
                ),
                ("nobody", { ($0.fresh, $0.epoch) = (true, epoch) }),
            ]
            for (number, (user, fill)) in requests.enumerated() {
                let expected = try await host.source.pull(user) { request in
                    request.includeSelf = true
                    fill(&request)
                }
                let loans = host.loans.count
                let (reply, sources) = try await host.observed { try await host.pull(user, fill) }
                #expect(reply.message == expected.message, "request \(number)")
                #expect(reply.body == expected.body, "request \(number)")
                #expect(sources == ["primary_only"], "request \(number)")
                #expect(host.loans.count == loans + 1, "request \(number)")
            }
        }
    }

    @Test("Few readings of states run at once on the primary; the other pages are its own")
    func readings() async throws {
        try await StandbyHost.with { host in
            try await host.expectReplay()
            let locker = try await SyncedDatabase.connect(host.primary.connectionURL())
            defer { locker.close() }
            // The replica reads its catalog first.
            _ = try await host.pull("user-0") { $0.fresh = true }
            try await host.expectFit()
            let checks = host.checks
            try await locker.execute(
                script: "BEGIN; LOCK TABLE sync.scope IN ACCESS EXCLUSIVE MODE")
            let sources = try await host.sources {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 1...10 {
                        group.addTask {
                            _ = try await host.pull("user-\(number)") { $0.fresh = true }
                        }
                    }
                    try await host.source.expectWaiting(10)
                    try await locker.execute(script: "COMMIT")
                    try await group.waitForAll()
                }
            }
            #expect(host.checks == checks + 4)
            #expect(sources.count { $0 == "busy" } == 6, "\(sources)")
        }
    }
}
