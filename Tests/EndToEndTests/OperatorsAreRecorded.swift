import Demo
import DevStack
import Foundation
import NIOHTTP1
import OperatorKit
import Testing

/// What operators and administrators do stands in the audit.
@Suite("Operators are recorded", .timeLimit(.minutes(5)))
struct OperatorsAreRecorded {
    private struct Row: Decodable {
        let action: String
        let outcome: String
        let actor: String
        let actor_kind: String?
        let target: String
        let host: String?
        let code: String?
        let operation: String?
    }

    private static func rows(
        _ stack: StackAddress, _ arguments: String...
    ) async throws -> [Row] {
        let (status, text) = try await runProgram(
            "oversync", ["audit", "--json", "--database", stack.database] + arguments,
            withErrors: false)
        #expect(status == 0, "\(text)")
        return try text.split(separator: "\n").map {
            try JSONDecoder().decode(Row.self, from: Data($0.utf8))
        }
    }

    @Test("Each command of power leaves its rows, with who ran it and what came of it")
    func commands() async throws {
        try await withStack { stack in
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
            let config = folder.appending(path: "same.yaml")
            try Data(DemoTables.registrations.utf8).write(to: config)
            let commands: [(action: String, arguments: [String], status: Int32)] = [
                ("migrate", ["migrate", "--config", config.path], 0),
                ("adopt", ["adopt", "business.users"], 0),
                ("adopt", ["adopt", "business.nothing"], 1),
                ("verify.repair", ["verify", "--repair"], 0), ("", ["verify"], 0),
                ("compact", ["compact", "--audit-days", "400"], 0), ("audit.prune", [], 0),
                ("epoch.new", ["epoch", "new", "--reason", "a test"], 0),
                ("migrate.fk-deferrable", ["migrate", "fk-deferrable"], 0),
                ("", ["migrate", "--plan", "--config", config.path], 0),
                ("audit.prune", ["audit", "prune", "--older-than", "400d"], 0),
            ]
            for (_, arguments, expected) in commands where !arguments.isEmpty {
                let (status, text) = try await runProgram(
                    "oversync", arguments + ["--database", stack.database])
                #expect(status == expected, "\(arguments): \(text)")
            }
            // Services record what they do by themselves, without an operator's name.
            let rows = try await Self.rows(stack).filter { $0.host?.contains("@") == true }
            var expected: [String] = []
            for (action, arguments, status) in commands where !action.isEmpty {
                // One transaction.
                if action == "epoch.new" {
                    expected.append("epoch.new done")
                    continue
                }
                let last = arguments.isEmpty || status == 0 ? "done" : "failed"
                expected += ["\(action) begun", "\(action) \(last)"]
            }
            #expect(rows.map { "\($0.action) \($0.outcome)" } == expected)
            #expect(rows.first { $0.outcome == "failed" }?.code == "RegistrationError")
            let operations = rows.compactMap(\.operation)
            #expect(Set(operations).count * 2 == operations.count)
            // The answer says that there are older rows; a cursor reaches them.
            let (_, text) = try await runProgram(
                "oversync", ["audit", "--limit", "2", "--database", stack.database])
            #expect(text.contains("there are older rows: --before "))
            #expect(try await Self.rows(stack, "--action", "adopt", "--since", "1h").count == 4)
            #expect(try await Self.rows(stack, "--since", "2100-01-01").isEmpty)
            for bad in [["--since", "soon"], ["--since", "2026-02-31"], ["--action", "nothing"]] {
                let (status, text) = try await runProgram(
                    "oversync", ["audit", "--database", stack.database] + bad)
                #expect(status != 0 && text.contains(bad[0]), "\(text)")
            }
        }
    }

    @Test("Services record their settings, tokens with roles, and who is refused at /admin")
    func services() async throws {
        try await withStack { stack in
            try await stack.withClient { client in
                let device = try await WireDevice(stack, client, user: "ann", device: "phone")
                #expect(try await device.send(.GET, "/admin/materialize-failures").status == 403)
                for arguments in [[], ["--role", "admin"]] {
                    let (status, text) = try await runProgram(
                        "oversync", ["token", "--user", "root", "--device", "console"] + arguments,
                        environment: ["OVERSYNC_RUN": stack.sockets], withErrors: false)
                    #expect(status == 0)
                    guard !arguments.isEmpty else { continue }
                    let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
                    let answer = try await device.send(
                        .GET, "/admin/materialize-failures", token: token)
                    #expect(answer.status == 200)
                }
            }
            for (arguments, status) in [(["--table", "business.users"], 0), (["7"], 1)] {
                let ended = try await runProgram(
                    "oversync", ["failures", "retry"] + arguments,
                    environment: ["OVERSYNC_RUN": stack.sockets])
                #expect(ended.status == Int32(status), "\(ended)")
            }
            let misspelt = try await runProgram(
                "oversync", ["failures", "retry", "--table", "business.usres", "--dry-run"],
                environment: ["OVERSYNC_RUN": stack.sockets])
            #expect(misspelt.status == 1)
            #expect(
                misspelt.text.contains("no table business.usres is registered"), "\(misspelt)")
            var rows: [Row] = []
            let services = ["auth", "download", "gateway", "upload"].map { "oversync-\($0)" }
            try await eventually("all of it is recorded") {
                rows = try await Self.rows(stack)
                return rows.contains { $0.action == "admin.request" }
                    && Set(rows.filter { $0.action == "configuration.change" }.map(\.actor))
                        == Set(services)
            }
            let configurations = rows.filter { $0.action == "configuration.change" }
            // Two Download replicas have the same settings.
            #expect(configurations.count == services.count)
            let refused = rows.filter { $0.action == "admin.request" }
            #expect(refused.map(\.actor) == ["ann"] && refused.map(\.outcome) == ["refused"])
            #expect(refused.first?.target == "GET /admin/materialize-failures")
            #expect(refused.first?.host == "127.0.0.1")
            let tokens = rows.filter { $0.action == "token.issue" }
            #expect(tokens.map(\.target) == ["root/console"])
            let terminal = "\(ProcessInfo.processInfo.userName)@"
            #expect(tokens.first?.host?.hasPrefix(terminal) == true)
            #expect(tokens.first?.actor == ProcessInfo.processInfo.userName)
            #expect(tokens.first?.actor_kind == "terminal")
            let lists = rows.filter { $0.action == "materialize-failure.list" }
            let user = ProcessInfo.processInfo.userName
            #expect(lists.map(\.actor) == ["root", user, user])
            #expect(lists.map { $0.actor_kind ?? "" } == ["token", "terminal", "terminal"])
            #expect(lists.allSatisfy { $0.outcome == "done" })
            let retries = rows.filter { $0.action == "materialize-failure.retry" }
            #expect(retries.map(\.actor) == [user] && retries.map(\.code) == ["not_found"])
            #expect(retries.map(\.outcome) == ["refused"] && retries.map(\.target) == ["7"])
        }
    }
}
