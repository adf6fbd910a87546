import DevStack
import Foundation
import LocalPostgres
import Sidecar
import Synchronization
import Testing

@Suite("Every process killed")
struct EveryProcessKilled {
    /// ```
    /// devices     send, and send again until there is an answer ──────────────────────────► quiet
    /// upload      ── kill -9 ──────────────────────────────── kill -9 ─────
    /// download    ─────────── kill -9 ─────────────────────────────── kill …
    /// gateway     ───────────────────── kill -9 ───────────────────────────
    /// PostgreSQL  ─────────────────────────────── kill -9, recovery ───────
    /// ```
    @Test(
        "P1 P2: every process and PostgreSQL die by kill -9 again and again; what was answered applied is there, once"
    )
    func everyProcess() async throws {
        let rounds = 2
        let answersBetweenKills = 12
        try await withStack { stack, postgres in
            try await stack.withClient { client in
                let answers = Progress()
                try await withThrowingTaskGroup(of: PersistentDevice?.self) { group in
                    for number in 0..<6 {
                        let wire = try await WireDevice(
                            stack, client, user: "user\(number % 2)", device: "device\(number)")
                        group.addTask {
                            var device = PersistentDevice(number: number, wire: wire)
                            while !answers.isOver {
                                try await device.send()
                                answers.add()
                            }
                            return device
                        }
                    }
                    group.addTask {
                        defer { answers.end() }
                        for _ in 0..<rounds {
                            for service in ["upload", "download", "gateway", "auth"] {
                                try await answers.wait(for: answersBetweenKills)
                                let found = ServiceProcesses.named("oversync-\(service)", of: stack)
                                let victim = try #require(found.first)
                                #expect(kill(victim, SIGKILL) == 0)
                            }
                            try await answers.wait(for: answersBetweenKills)
                            try await postgres.kill()
                            try await postgres.start()
                        }
                        try await answers.wait(for: answersBetweenKills)
                        return nil
                    }
                    for try await device in group {
                        if let device { try await device.check() }
                    }
                }
                try await withConnection(to: stack.database) { connection in
                    var differences: [String] = []
                    let summary = try await Verifier(connection: connection).run {
                        differences += $0.map(\.description)
                    }
                    #expect(differences == [])
                    #expect(summary.users == 2)
                }
            }
        }
    }
}

/// A device that sends each request again until it is answered, and remembers the answers.
private struct PersistentDevice {
    let number: Int
    let wire: WireDevice
    private var nextID = 1
    /// Versions that were answered, by change id.
    private var applied: [Int: Int] = [:]
    /// Rows by the last digits of their keys, with their versions.
    private var rows: [Int: Int] = [:]

    init(number: Int, wire: WireDevice) {
        self.number = number
        self.wire = wire
    }

    private func key(_ row: Int) -> String {
        String(format: "00000000-0000-4000-8000-%02x%010x", number, row)
    }

    /// New rows, and one edit of an older one.
    mutating func send() async throws {
        var changes: [(id: Int, row: Int, base: Int)] = (0..<4).map { offset in
            (nextID + offset, nextID + offset, 0)
        }
        if let old = rows.min(by: { $0.value < $1.value }) {
            changes.append((nextID + 4, old.key, old.value))
        }
        nextID += changes.count
        let body = changes.map { change in
            #"{"source_change_id":\#(change.id),"schema":"business","table":"users","op":"UPDATE","pk":"\#(key(change.row))","server_version":\#(change.base),"payload":{"name":"\#(change.id)"}}"#
        }.joined(separator: ",")
        let answer = try await answer(to: body)
        let decoded = try JSONDecoder().decode(Statuses.self, from: Data(answer.text.utf8))
        #expect(decoded.statuses.map(\.source_change_id) == changes.map(\.id))
        for (status, change) in zip(decoded.statuses, changes) {
            #expect(status.status == "applied", "\(answer.text)")
            #expect(status.new_server_version == change.base + 1)
            applied[change.id] = change.base + 1
            rows[change.row] = change.base + 1
        }
    }

    private func answer(to body: String) async throws -> WireDevice.Answer {
        while true {
            try Task.checkCancellation()
            // A connection that broke, or a service that is not there, says nothing about the changes.
            guard let answer = try? await wire.upload(body), answer.status != 503 else { continue }
            try #require(answer.status == 200, "\(answer.text)")
            return answer
        }
    }

    /// Reads the user's whole log.
    func check() async throws {
        var seen: [Int: [Int]] = [:]
        var cursor = 0
        var hasMore = true
        while hasMore {
            let answer = try await wire.download("after=\(cursor)&limit=500&include_self=true")
            let page = try JSONDecoder().decode(Page.self, from: Data(answer.text.utf8))
            for change in page.changes {
                #expect(change.server_id == cursor + 1)
                cursor = change.server_id
                if change.source_id == "device\(number)" {
                    seen[change.source_change_id, default: []].append(change.server_version)
                }
            }
            hasMore = page.has_more
        }
        #expect(seen == applied.mapValues { [$0] })
        #expect(applied.count > 20)
    }

    private struct Statuses: Decodable {
        struct Status: Decodable {
            let source_change_id: Int
            let status: String
            let new_server_version: Int?
        }
        let statuses: [Status]
    }

    private struct Page: Decodable {
        struct Change: Decodable {
            let server_id: Int
            let source_id: String
            let source_change_id: Int
            let server_version: Int
        }
        let changes: [Change]
        let has_more: Bool
    }
}

/// Counts events, and lets one caller wait for more of them.
private final class Progress: Sendable {
    private let events: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let over = Atomic(false)

    init() { (events, continuation) = AsyncStream.makeStream() }

    func add() { continuation.yield() }

    /// No more are waited for.
    func end() { over.store(true, ordering: .relaxed) }

    var isOver: Bool { over.load(ordering: .relaxed) }

    func wait(for count: Int) async throws {
        var left = count
        for await _ in events {
            left -= 1
            if left == 0 { return }
        }
        throw CancellationError()
    }
}
