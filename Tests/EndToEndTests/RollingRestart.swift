import AsyncHTTPClient
import DevStack
import Foundation
import NIOHTTP1
import OperatorKit
import Sidecar
import Synchronization
import Testing

@Suite("Rolling restart", .timeLimit(.minutes(3)))
struct RollingRestart {
    /// ```
    /// devices     write, read, sign in ─────────────────────────────────────────────► checked
    /// upload      ── SIGTERM ─ successor ─────────────────────────
    /// download 1  ────────────────────── SIGTERM ─ successor ─────
    /// download 2  ──────────────────────────────── SIGTERM ─ … ───
    /// auth        ─────────────────────────────────────────── SIGTERM …
    /// gateway     ──────────────────────────────────────────────────── SIGTERM …
    /// ```
    @Test("every process is replaced under load, and no request fails that a client may not repeat")
    func rolling() async throws {
        let rounds = 2
        let answersBetween = 60
        try await withStack { stack in
            try await stack.withClient { client in
                let load = Load()
                try await withThrowingTaskGroup(of: RestartedWriter?.self) { group in
                    for number in 0..<4 {
                        let wire = try await WireDevice(
                            stack, client, user: "user\(number % 2)", device: "device\(number)")
                        group.addTask {
                            var writer = RestartedWriter(number: number, wire: wire)
                            while !load.isOver { try await writer.write(load) }
                            return writer
                        }
                    }
                    for number in 0..<3 {
                        let wire = try await WireDevice(
                            stack, client, user: "user\(number % 2)", device: "reader\(number)")
                        group.addTask {
                            let query = ["after=0", "after=1000000&wait=5", "after=0&limit=10"]
                            while !load.isOver {
                                try await load.count { try await wire.download(query[number]) }
                            }
                            return nil
                        }
                    }
                    let visitor = try await WireDevice(stack, client, user: "eve", device: "web")
                    group.addTask {
                        let body = #"{"user":"eve","device":"web"}"#
                        while !load.isOver {
                            try await load.count {
                                try await visitor.send(.POST, "/dev/sign-in", body: body)
                            }
                        }
                        return nil
                    }
                    group.addTask {
                        defer { load.end() }
                        for _ in 0..<rounds {
                            try await Self.restartAll(stack, load, answersBetween)
                        }
                        return nil
                    }
                    for try await writer in group {
                        if let writer { try await writer.check() }
                    }
                }
                #expect(load.failures == [])
                print("rolling restart: \(load.answers) answers, \(load.drained) while the gateway")
                try await withConnection(to: stack.database) { connection in
                    var differences: [String] = []
                    _ = try await Verifier(connection: connection).run {
                        differences += $0.map(\.description)
                    }
                    #expect(differences == [])
                }
            }
        }
    }

    private static func restartAll(
        _ stack: StackAddress, _ load: Load, _ answers: Int
    ) async throws {
        for (name, replica) in [("upload", 0), ("download", 0), ("download", 1), ("auth", 0)] {
            try await load.more(answers)
            let all = ServiceProcesses.named("oversync-\(name)", of: stack).count
            let process = try EndingProcess(
                terminating: "oversync-\(name)", replica: replica, of: stack)
            #expect(try await process.ended() < EndingProcess.promptly, "\(name)")
            try await eventually("every replica of \(name) runs again") {
                ServiceProcesses.named("oversync-\(name)", of: stack).count == all
            }
            try await load.more(answers)
        }
        load.gatewayRestarts(true)
        let process = try EndingProcess(terminating: "oversync-gateway", of: stack)
        #expect(try await process.ended() < EndingProcess.promptly)
        try await process.startedAgain()
        try await stack.waitUntilReady()
        load.gatewayRestarts(false)
        try await load.more(answers)
    }
}

/// What became of each request.
private final class Load: Sendable {
    private struct State {
        var answers = 0
        var drained = 0
        var failures: [String] = []
        var isOver = false
        var isGatewayAway = false
        /// Times that the gateway went away.
        var departures = 0
    }

    private let state = Mutex(State())

    var isOver: Bool { state.withLock { $0.isOver } }
    var answers: Int { state.withLock { $0.answers } }
    var drained: Int { state.withLock { $0.drained } }
    var failures: [String] { state.withLock { $0.failures } }

    func end() { state.withLock { $0.isOver = true } }

    func gatewayRestarts(_ isAway: Bool) {
        state.withLock { state in
            state.isGatewayAway = isAway
            if isAway { state.departures += 1 }
        }
    }

    /// Waits for more answers.
    func more(_ count: Int) async throws {
        let wanted = answers + count
        try await eventually("\(count) more answers; failures: \(failures)") { answers >= wanted }
    }

    /// Makes a request.
    ///
    /// - Returns: its answer; nil when it is to be repeated, because the gateway itself was away.
    @discardableResult
    func count(
        _ request: () async throws -> WireDevice.Answer
    ) async throws -> WireDevice.Answer? {
        try Task.checkCancellation()
        let (wasAway, departures) = state.withLock { ($0.isGatewayAway, $0.departures) }
        let result: Result<WireDevice.Answer, any Error>
        do { result = .success(try await request()) } catch { result = .failure(error) }
        return state.withLock { state in
            let metGatewaysEnd = wasAway || state.isGatewayAway || state.departures > departures
            switch result {
            case .success(let answer) where answer.status == 200:
                state.answers += 1
                return answer
            case .success(let answer)
            where metGatewaysEnd && answer.status == 503 && answer.headers["retry-after"] != nil:
                state.drained += 1
            case .failure where metGatewaysEnd:
                // Nobody listens between two processes.
                state.drained += 1
            case .success(let answer):
                state.failures.append("\(answer.status) \(answer.text)")
            case .failure(let error):
                state.failures.append("\(error)")
            }
            return nil
        }
    }
}

/// A device that writes new rows, and sends each request again until it is answered.
private struct RestartedWriter {
    let number: Int
    let wire: WireDevice
    private var acknowledged: Set<Int> = []
    private var nextID = 1

    init(number: Int, wire: WireDevice) {
        self.number = number
        self.wire = wire
    }

    mutating func write(_ load: Load) async throws {
        let ids = nextID..<(nextID + 3)
        let body = ids.map { id in
            let key = String(format: "00000000-0000-4000-8000-%02x%010x", number, id)
            return
                #"{"source_change_id":\#(id),"schema":"business","table":"users","op":"UPDATE","pk":"\#(key)","server_version":0,"payload":{"name":"\#(id)"}}"#
        }.joined(separator: ",")
        guard let answer = try await load.count({ try await wire.upload(body) }) else { return }
        #expect(answer.text.ranges(of: #""status":"applied""#).count == ids.count, "\(answer.text)")
        acknowledged.formUnion(ids)
        nextID += ids.count
    }

    /// Reads the user's whole log.
    func check() async throws {
        var seen: [Int: Int] = [:]
        var cursor = 0
        var hasMore = true
        while hasMore {
            let answer = try await wire.download("after=\(cursor)&limit=500&include_self=true")
            let page = try JSONDecoder().decode(Page.self, from: Data(answer.text.utf8))
            for change in page.changes {
                cursor = change.server_id
                guard change.source_id == "device\(number)" else { continue }
                seen[change.source_change_id, default: 0] += 1
            }
            hasMore = page.has_more
        }
        #expect(acknowledged.isSubset(of: seen.keys))
        #expect(seen.values.allSatisfy { $0 == 1 })
        #expect(acknowledged.count > 20)
    }

    private struct Page: Decodable {
        struct Change: Decodable {
            let server_id: Int
            let source_id: String
            let source_change_id: Int
        }
        let changes: [Change]
        let has_more: Bool
    }
}
