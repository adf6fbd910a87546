import Model
import NIOCore
import Postgres
import RPC
import Sidecar
import Testing

@testable import UploadService

/// Promise P7 in uploads that share a transaction: each is judged by what its own device knows.
@Suite("Histories in groups of uploads")
struct GroupHistoryTests {
    private static func member(
        _ device: String, _ pair: HistoryPair?, _ changes: String
    ) -> SyncedDatabase.Member {
        .init(device: device, changes: changes, pair: pair)
    }

    private static func codes(
        _ outcomes: [Result<UploadResult, any Error>]
    ) -> [String] {
        outcomes.map { outcome in
            switch outcome {
            case .success(let result): result.outcomes.map(\.line).joined(separator: ", ")
            case .failure(let error): (error as? RPCFailure)?.code ?? "\(error)"
            }
        }
    }

    /// ```
    /// log     1 ─ 2 one ──────────── 3 four ── 4 five
    /// knows       1    1'   2' 9'    nothing   1 (meets the row of `one`)
    /// ```
    @Test("In a group those who know another history are refused whole, and the others applied")
    func mixed() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "first", noteChange(1))
            let pair = try #require(try await database.pair(1))
            let outcomes = try await database.together(
                "ann",
                [
                    Self.member("one", pair, noteChange(2)),
                    Self.member(
                        "two", HistoryPair(sequence: 1, tag: pair.tag ^ 1), noteChange(3)),
                    // A change that the group itself makes stands there, and is another one.
                    Self.member("three", HistoryPair(sequence: 2, tag: pair.tag), noteChange(4)),
                    Self.member("beyond", HistoryPair(sequence: 9, tag: pair.tag), noteChange(5)),
                    Self.member("four", nil, noteChange(6)),
                    Self.member("five", pair, noteChange(7, base: 1, key: "2", "b")),
                ])
            #expect(
                Self.codes(outcomes) == [
                    "applied 1", "history_forked", "history_forked", "history_forked", "applied 1",
                    "applied 2",
                ])
            #expect(database.executor.groups.writtenGroups == 1)
            #expect(try await database.feed("ann").count == 4)
            let devices = try await database.value(
                "SELECT string_agg(device, ' ' ORDER BY device) FROM sync.source")
            #expect(devices == "first five four one")
            // What each hears proves its own change.
            for (place, sequence) in [(0, 2), (4, 3), (5, 4)] {
                #expect(
                    try await outcomes[place].get().end == database.pair(sequence), "\(place)")
            }
        }
    }

    /// ```
    /// log       1 2 3 4 5 ─ locked ─────────────── restored to 3 ─ released
    /// uploads             first ─ others prepare ──────────────── judged, and not by what was
    /// ```
    @Test("Uploads that wait together while their log is restored are judged by the restored one")
    func restoredMeanwhile() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...3 {
                try await database.upload("ann", device: "phone", noteChange(number))
            }
            try await database.back()
            for number in 4...5 {
                try await database.upload("ann", device: "phone", noteChange(number))
            }
            let (third, fifth) = (try await database.pair(3), try await database.pair(5))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            let epoch = try await database.epoch()
            let pairs = [fifth, fifth, third, nil, fifth]
            try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for (place, pair) in pairs.enumerated() {
                    group.addTask {
                        let code = await database.code {
                            _ = try await database.executor.upload(
                                ByteBuffer(string: #"{"changes":[\#(noteChange(20 + place))]}"#),
                                from: CallerIdentity(user: "ann", device: "d\(place)"),
                                UploadOptions(epoch: epoch, pair: pair),
                                deadline: .now + .seconds(30))
                        }
                        return (place, code)
                    }
                    if place == 0 { try await database.expectWaiting(1) }
                    while database.executor.queue.waiting != place { await Task.yield() }
                }
                try await database.goBack(on: other)
                var codes = Array(repeating: "", count: pairs.count)
                for try await (place, code) in group { codes[place] = code }
                #expect(
                    codes == [
                        "history_forked", "history_forked", "served", "served", "history_forked",
                    ])
            }
            #expect(try await database.head() == 5)
            let devices = try await database.value(
                "SELECT string_agg(device, ' ' ORDER BY device) FROM sync.source")
            #expect(devices == "d2 d3 phone")
        }
    }
}
