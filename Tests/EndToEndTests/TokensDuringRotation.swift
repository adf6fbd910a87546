import DevStack
import Foundation
import NIOHTTP1
import OperatorKit
import SigningKeys
import Synchronization
import Testing

/// Keys and master keys are replaced while devices sign in and sync.
@Suite("Tokens during rotation", .timeLimit(.minutes(10)))
struct TokensDuringRotation {
    /// ```
    /// devices   sign in, wait for news with new and older tokens ───────────────────► never 401
    /// keys      ── rotate ── (published) ── signs ── retire the old ────────────────
    /// master    ───────────────────────────────────────────────────── reseal ────────
    /// auth      ──────────────────────────── restart ── restart ─────────── restart ─
    /// ```
    @Test("0 × 401 while keys are rotated, retired and resealed, and Auth restarts at each step")
    func rotation() async throws {
        try await withStack(Self.plan) { stack in
            try await stack.withClient { client in
                let load = Load()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<4 {
                        let wire = try await WireDevice(
                            stack, client, user: "user\(number)", device: "phone")
                        group.addTask {
                            while !load.isOver { try await Self.useTokens(wire, number, load) }
                        }
                    }
                    group.addTask {
                        defer { load.end() }
                        try await Self.replaceKeys(stack, load)
                    }
                    try await group.waitForAll()
                }
                #expect(load.rejected == 0)
                print("rotation: \(load.accepted) tokens accepted, \(load.rejected) rejected")
                #expect(load.accepted > 50)
            }
        }
    }

    private static func plan(_ directory: StackDirectory) -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        // The master key before the first one: nothing is sealed with it.
        plan.environmentOf["auth"] = [
            "OVERSYNC_AUTH_MASTER_KEY_PREVIOUS_FILE": Self.previous(directory)
        ]
        try? directory.create()
        try? Data(String(repeating: "0", count: 32).utf8).write(
            to: URL(filePath: previous(directory)))
        return plan
    }

    private static func previous(_ directory: StackDirectory) -> String {
        directory.secrets + "/auth-master-key-previous"
    }

    /// What devices have met.
    private final class Load: Sendable {
        private struct State {
            var tokens: [String] = []
            var accepted = 0
            var rejected = 0
            var isOver = false
        }

        /// Tokens that are used again; the oldest one goes.
        private static let kept = 100
        private let state = Mutex(State())

        var isOver: Bool { state.withLock { $0.isOver } }
        var accepted: Int { state.withLock { $0.accepted } }
        var rejected: Int { state.withLock { $0.rejected } }
        func end() { state.withLock { $0.isOver = true } }

        /// - Returns: the oldest token that is kept.
        func add(_ token: String) -> String {
            state.withLock { state in
                state.tokens.append(token)
                if state.tokens.count > Self.kept { state.tokens.removeFirst() }
                return state.tokens[0]
            }
        }

        func count(_ status: Int) {
            state.withLock {
                if status == 200 { $0.accepted += 1 }
                if status == 401 { $0.rejected += 1 }
            }
        }

        /// The names of the keys that have signed the newest tokens.
        var newestKeys: Set<String> {
            Set(state.withLock { $0.tokens.suffix(4) }.compactMap(TokensDuringRotation.kid(of:)))
        }
    }

    /// The wait for news keeps the pace: a round takes a second.
    private static func useTokens(_ wire: WireDevice, _ number: Int, _ load: Load) async throws {
        let path = "/sync/download?after=0&wait=1"
        let body = #"{"user":"user\#(number)","device":"phone"}"#
        let answer = try await wire.send(.POST, "/dev/sign-in", body: body)
        var token: String?
        // While Auth restarts there are no new tokens; those that are there are good.
        if answer.status == 200 { token = try answer.value("token") }
        let oldest = token.map { load.add($0) }
        for token in [token, oldest, wire.token].compactMap(\.self) {
            load.count(try await wire.send(.GET, path, token: token).status)
        }
    }

    private static func replaceKeys(_ stack: StackAddress, _ load: Load) async throws {
        let directory = StackDirectory(
            URL(filePath: stack.hs256SecretFile).deletingLastPathComponent()
                .deletingLastPathComponent().path)
        let master = try directory.secret("auth-master-key")
        let first = try #require(try await keys(stack).first?.kid)
        try await eventually("tokens are in use") { load.newestKeys == [first] }
        try await run(stack, "rotate", "--publish-ahead", "60s")
        let listed = try await run(stack, "list").split(separator: "\n")
        #expect(listed.count == 2 && listed[0].hasPrefix("\(first) signing, signs from "))
        #expect(listed[0].contains(", retires ") && listed[1].contains(" waiting, signs from "))
        try await restartAuth(stack)
        try await eventually(within: .seconds(150), "the new key signs") {
            let newest = load.newestKeys
            return newest.count == 1 && newest != [first]
        }
        #expect(try await keys(stack).map(\.state) == ["published", "signing"])
        try await run(stack, "retire", first)
        // A new master key: known to all, then used, then the only one.
        let old = try String(contentsOfFile: master, encoding: .utf8)
        try write(old, previous(directory))
        try write(String(repeating: "n", count: 44), master)
        try await restartAuth(stack)
        try await eventually("Auth signs") { load.accepted > 0 && !load.newestKeys.isEmpty }
        let text = try await run(stack, "reseal")
        #expect(text.contains("2 keys sealed with the new master key"))
        try write(String(repeating: "0", count: 32), previous(directory))
        try await restartAuth(stack)
        let before = load.accepted
        try await eventually(within: .seconds(60), "tokens are issued and taken") {
            load.accepted > before + 30
        }
    }

    private static func keys(
        _ stack: StackAddress
    ) async throws -> [(kid: String, state: String)] {
        try await withConnection(to: stack.database) { connection in
            try await KeyStore.list(on: connection).map { ($0.row.kid, $0.state.rawValue) }
        }
    }

    @discardableResult
    private static func run(_ stack: StackAddress, _ arguments: String...) async throws -> String {
        let secrets = URL(filePath: stack.hs256SecretFile).deletingLastPathComponent().path
        let (status, text) = try await runProgram(
            "oversync", ["keys"] + arguments + ["--database", stack.database],
            environment: [
                "OVERSYNC_AUTH_MASTER_KEY_FILE": secrets + "/auth-master-key",
                "OVERSYNC_AUTH_MASTER_KEY_PREVIOUS_FILE": secrets + "/auth-master-key-previous",
            ])
        #expect(status == 0, "\(text)")
        return text
    }

    private static func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
    }

    /// Comes back once a successor runs.
    private static func restartAuth(_ stack: StackAddress) async throws {
        let former = try #require(ServiceProcesses.named("oversync-auth", of: stack).first)
        #expect(kill(former, SIGTERM) == 0)
        try await eventually(within: .seconds(60), "Auth runs again") {
            ServiceProcesses.named("oversync-auth", of: stack).contains { $0 != former }
        }
    }

    /// The name of the key that has signed a token.
    fileprivate static func kid(of token: String) -> String? {
        struct Header: Decodable { let kid: String? }
        var text = String(token.prefix { $0 != "." }).replacing("-", with: "+")
            .replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        return Data(base64Encoded: text).flatMap {
            try? JSONDecoder().decode(Header.self, from: $0).kid
        }
    }
}
