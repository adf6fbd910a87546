import Foundation
import LocalPostgres
import OperatorKit
import Testing
import Tokens

/// `Docs/tour.md`: its commands are run, and what stands under them must come.
@Suite("The tour with curl", .timeLimit(.minutes(5)))
struct TourOfTheRoutes {
    /// What stands for anything on one line.
    private static let wildcard = "…"

    private struct Step {
        let commands: String
        let answer: [String]
    }

    @Test("Every command of the page gives what stands under it")
    func tour() async throws {
        let steps = try Self.steps()
        try #require(steps.count == 10)
        try await withStack { stack in
            let script = try await Self.script(steps, stack)
            let path = FileManager.default.temporaryDirectory.path + "/tour-\(UUID().uuidString).sh"
            defer { try? FileManager.default.removeItem(atPath: path) }
            try script.write(toFile: path, atomically: true, encoding: .utf8)
            let answers = try await Shell.run("bash", [path])
                .components(separatedBy: Self.mark + "\n").dropFirst()
            #expect(answers.count == steps.count)
            for (step, answer) in zip(steps, answers) {
                let lines = answer.components(separatedBy: "\n").dropLast()
                #expect(lines.count == step.answer.count, "\(step.commands)\n\(answer)")
                for (line, wanted) in zip(lines, step.answer) {
                    #expect(Self.fits(line, wanted), "\(line)\nis not\n\(wanted)")
                }
            }
        }
    }

    /// Stands before each step's answer.
    private static let mark = "---- step"

    /// The page's blocks in pairs, without the one that finds the stack, which is not this one.
    private static func steps() throws -> [Step] {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Docs/tour.md")
        return try String(contentsOf: page, encoding: .utf8)
            .matches(of: /```sh\n((?:(?!```).*\n)*)```\n```\n((?:(?!```).*\n)*)```/).map { block in
                Step(
                    commands: String(block.output.1),
                    answer: block.output.2.components(separatedBy: "\n").dropLast())
            }
    }

    private static func script(_ steps: [Step], _ stack: StackAddress) async throws -> String {
        var lines = ["set -euo pipefail", "umask 077"]
        let variables = [
            "GATEWAY": stack.gateway, "AUTHORITY": stack.authority, "DATABASE": stack.database,
            "PHONE": try await stack.token(user: "ada", device: "phone"),
            "LAPTOP": try await stack.token(user: "ada", device: "laptop"),
            "ADMIN": try await stack.token(user: "root", device: "desk", roles: ["admin"]),
        ]
        lines += variables.map { "\($0)='\($1)'" }
        for step in steps { lines += ["echo '\(mark)'", step.commands] }
        return lines.joined(separator: "\n")
    }

    /// Whether a line has all parts of the wanted one, in their order, from its beginning to its end.
    private static func fits(_ line: String, _ wanted: String) -> Bool {
        let parts = wanted.components(separatedBy: wildcard)
        guard parts.count > 1 else { return line == wanted }
        guard line.hasPrefix(parts[0]), line.hasSuffix(parts[parts.count - 1]) else { return false }
        var rest = line.dropFirst(parts[0].count)
        for part in parts.dropFirst() {
            guard let range = part.isEmpty ? rest.endIndex..<rest.endIndex : rest.range(of: part)
            else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}
