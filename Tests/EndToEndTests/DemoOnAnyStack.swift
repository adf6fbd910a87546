import DevStack
import Foundation
import OperatorKit
import Postgres
import Testing

/// What an operator types to see that a stack works which nothing but HTTPS leads to.
@Suite("Demo and load on any stack", .serialized, .timeLimit(.minutes(10)))
struct DemoOnAnyStack {
    @Test(
        "The demo's devices agree, with and without PostgreSQL's copy, on a stack that had a demo before"
    )
    func demo() async throws {
        try await withStack { stack in
            let first = try await runProgram("oversync-dev", ["demo"] + Self.options(stack))
            #expect(first.status == 0, "\(first.text)")
            #expect(first.text.contains("All copies are equal."))
            #expect(!first.text.contains("in PostgreSQL"))
            for device in ["phone", "laptop", "tablet"] {
                let line = "\(device): its digests are those of the server's log"
                #expect(first.text.contains(line), "\(first.text)")
            }
            let second = try await runProgram(
                "oversync-dev", ["demo", "--database", stack.database] + Self.options(stack))
            #expect(second.status == 0, "\(second.text)")
            #expect(second.text.contains("in PostgreSQL"))
            #expect(second.text.contains("tablet of demo-bob-"))
        }
    }

    @Test(
        "What is wrong with a gateway, an authority, a secret or the tables is said in one sentence"
    )
    func mistakes() async throws {
        try await withStack { stack in
            let folder = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let other = try DevelopmentCertificates(in: folder)
            let secret = folder + "/secret"
            try Data("another secret of thirty-two bytes".utf8).write(to: URL(filePath: secret))
            let closed = try FreePort.find()
            let expected: [(options: [String], text: String)] = [
                (
                    Self.options(stack, gateway: "https://127.0.0.1:\(closed)"),
                    "https://127.0.0.1:\(closed) cannot be reached: "
                ),
                (
                    Self.options(stack, gateway: "127.0.0.1:8443"),
                    "--gateway 127.0.0.1:8443: must be https://host or https://host:port"
                ),
                (
                    Self.options(stack, authority: other.authority),
                    "the certificate was not signed by the authority in \(other.authority)"
                ),
                (
                    Self.options(stack, authority: secret),
                    "--ca: \(secret) is not a readable PEM certificate"
                ),
                (
                    Self.options(stack, secret: secret),
                    "refuses a token signed with \(secret)"
                ),
                (
                    Self.options(stack, secret: folder + "/none"),
                    "--token-secret-file: cannot read \(folder)/none"
                ),
                (
                    Self.options(stack) + ["--schema", "trial"],
                    "does not sync trial.countries, trial.currencies, trial.languages, "
                        + "trial.subdivisions. As the owner of the database, run the SQL that "
                        + "`oversync-dev demo --print-schema --schema trial` prints"
                ),
            ]
            for (options, text) in expected {
                let demo = try await runProgram("oversync-dev", ["demo"] + options)
                #expect(demo.status != 0)
                #expect(demo.text.contains(text), "\(demo.text)")
                #expect(demo.text.split(separator: "\n").count == 1, "\(demo.text)")
            }
        }
    }

    @Test("What is printed registers the demo's tables in a schema of the operator's choice")
    func registered() async throws {
        try await withStack { stack in
            let config = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: config) }
            let schema = ["--schema", "trial"]
            let sql = try await runProgram("oversync-dev", ["demo", "--print-schema"] + schema)
            try await withConnection(to: stack.database) { try await $0.execute(script: sql.text) }
            let yaml = try await runProgram("oversync-dev", ["demo", "--print-config"] + schema)
            try Data(yaml.text.utf8).write(to: URL(filePath: config))
            let options = ["migrate", "--database", stack.database, "--config", config]
            let plan = try await runProgram("oversync", options + ["--plan"])
            #expect(plan.status == 0, "\(plan.text)")
            #expect(plan.text.contains("-- Registers trial.countries\n"), "\(plan.text)")
            let migrate = try await runProgram("oversync", options)
            #expect(migrate.status == 0, "\(migrate.text)")
            let later = try await runProgram("oversync", options + ["--plan"])
            #expect(later.status == 0)
            #expect(later.text.hasPrefix("-- Nothing to do"), "\(later.text)")
            // Services take the tables up within seconds.
            var demo: (status: Int32, text: String) = (1, "")
            let end = ContinuousClock.now + .seconds(30)
            while demo.status != 0, .now < end {
                demo = try await runProgram("oversync-dev", ["demo"] + Self.options(stack) + schema)
            }
            #expect(demo.status == 0, "\(demo.text)")
        }
    }

    @Test(
        "Acknowledged changes of a load are found in the logs; a change that nobody made is missed")
    func load() async throws {
        try await withStack { stack in
            let file = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: file) }
            let options = Self.options(stack)
            let load = try await runProgram(
                "oversync-dev", ["load", "--seconds", "2", "--acknowledged", file] + options)
            #expect(load.status == 0, "\(load.text)")
            let report = try JSONSerialization.jsonObject(with: Data(load.text.utf8))
            let counts = try #require(report as? [String: Any])
            let acknowledged = try #require(counts["acknowledged"] as? Int)
            #expect(acknowledged > 0)
            let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
            #expect(lines.count == acknowledged)

            let good = try await runProgram("oversync-dev", ["load", "--verify", file] + options)
            #expect(good.status == 0, "\(good.text)")
            let invented = lines[0].replacing("\"version\":1", with: "\"version\":9")
            try #require(invented != lines[0])
            try (lines + [invented]).joined(separator: "\n").appending("\n")
                .write(toFile: file, atomically: true, encoding: .utf8)
            let bad = try await runProgram("oversync-dev", ["load", "--verify", file] + options)
            #expect(bad.status == 1)
            #expect(bad.text.contains("\"lost\" : 1"), "\(bad.text)")
        }
    }

    private static func options(
        _ stack: StackAddress, gateway: String? = nil, authority: String? = nil,
        secret: String? = nil
    ) -> [String] {
        [
            "--gateway", gateway ?? stack.gateway, "--ca", authority ?? stack.authority,
            "--token-secret-file", secret ?? stack.hs256SecretFile,
        ]
    }
}
