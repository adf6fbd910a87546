import DevStack
import Foundation
import Testing

/// `--help`, `--version`, `--check` and `--health` of each service.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct OptionTests {
    @Test(arguments: ServiceName.allCases)
    func `help lists the settings, and version what the program is compatible with`(
        service: ServiceName
    ) async throws {
        let folder = try TestFolder()
        let help = try await ServiceRun(service, [:], ["--help"], in: folder)
        #expect(try await help.exitCode() == 0)
        for word in ["--check", "OVERSYNC_RUN", "default /run/oversync", "default host name"] {
            #expect(help.text.contains(word), "\(help.text)")
        }
        #expect(help.text.contains("OVERSYNC_DATABASE_URL") == service.hasDatabase)
        let version = try await ServiceRun(service, [:], ["--version"], in: folder)
        #expect(try await version.exitCode() == 0)
        #expect(
            version.text.wholeMatch(
                of: /oversync-\w+ \d+\.\d+\.\d+ \(commit \w+, layout \d+, RPC \d+, protocol \d+\)\n/
            ) != nil, "\(version.text)")
        let other = try await ServiceRun(service, [:], ["--port=1"], in: folder)
        #expect(try await other.exitCode() == 64)
        #expect(other.text.contains("does not know the option --port=1"))
    }

    @Test(arguments: ServiceName.allCases)
    func `check lists all problems at once, and starts nothing`(service: ServiceName) async throws {
        let folder = try TestFolder()
        let unknown = "OVERSYNC" + "_REPLICAS"
        let environment = try folder.environment([
            "OVERSYNC_LOG_LEVEL": "loud", "OVERSYNC_ADMIN_PORT": "70000",
            "OVERSYNC_REPLICA": "a/b",
            "OVERSYNC_DATABASE_URL": "host=db user=ann port=bad sslmode=on",
            "OVERSYNC_TLS_CERTIFICATE": "/nowhere/c.pem", "OVERSYNC_TLS_KEY": "/nowhere/c.key",
            unknown: "3",
        ])
        let check = try await ServiceRun(service, environment, ["--check"], in: folder)
        #expect(try await check.exitCode() == 78)
        let problems = check.lines.filter { $0.hasPrefix("problem: ") }
        var expected = ["OVERSYNC_LOG_LEVEL", "OVERSYNC_ADMIN_PORT", "OVERSYNC_REPLICA"]
        expected +=
            service.hasDatabase
            ? ["OVERSYNC_DATABASE_URL", "OVERSYNC_DATABASE_URL"]
            : ["OVERSYNC_TLS_CERTIFICATE", "OVERSYNC_TLS_KEY"]
        let named = problems.compactMap {
            $0.firstMatch(of: /OVERSYNC_\w+/).map { String($0.output) }
        }
        #expect(named.sorted() == expected.sorted(), "\(check.text)")
        #expect(check.text.contains("(environment variable OVERSYNC_REPLICA)"))
        #expect(
            check.text.contains("warning: \(unknown) is not a setting of Oversync; did you mean"))
        #expect(check.lines.last == "\(service.program): 5 problems")
        #expect(!folder.exists("run"))
    }

    @Test(arguments: ServiceName.allCases)
    func `check of a good configuration makes nothing`(service: ServiceName) async throws {
        let folder = try TestFolder()
        let check = try await ServiceRun(service, try folder.environment(), ["--check"], in: folder)
        #expect(try await check.exitCode() == 0, "\(check.text)")
        #expect(check.lines == ["\(service.program): the configuration can be used"])
        #expect(!folder.exists("run"))
    }

    @Test func `an unknown variable is a warning at the start`() async throws {
        let folder = try TestFolder()
        let unknown = "OVERSYNC" + "_RUNN"
        let run = try await ServiceRun(
            .upload, try folder.environment([unknown: "/run"]), in: folder)
        try await run.logged(
            "\(unknown) is not a setting of Oversync; did you mean OVERSYNC_RUN?")
        try await run.stop()
    }

    @Test func `health tells no service, one that is not ready, and a wrong configuration apart`()
        async throws
    {
        let folder = try TestFolder()
        let port = try FreePort.find()
        let environment = try folder.environment(["OVERSYNC_ADMIN_PORT": "\(port)"])
        func health(_ environment: [String: String]) async throws -> (code: Int32?, text: String) {
            let run = try await ServiceRun(.gateway, environment, ["--health"], in: folder)
            return (try await run.exitCode(), run.text)
        }
        let absent = try await health(environment)
        #expect(absent.code == 1)
        #expect(absent.text.contains("127.0.0.1:\(port): Connection refused"), "\(absent.text)")
        let gateway = try await ServiceRun(.gateway, environment, in: folder)
        try await gateway.logged("listening")
        try await eventually("an answer") {
            let answer = try await health(environment)
            #expect(answer.code == 1)
            return answer.text.contains("\"not ready\"")
        }
        try await gateway.stop()
        let unknown = try await health(environment.merging(["OVERSYNC_ADMIN_PORT": "0"]) { $1 })
        #expect(unknown.code == 78)
        #expect(unknown.text.contains("OVERSYNC_ADMIN_PORT is 0"))
    }
}
