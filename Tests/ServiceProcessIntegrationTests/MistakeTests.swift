import DevStack
import Foundation
import NIOCore
import NIOPosix
import Testing

/// Services that cannot run end at once and say which setting to change.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct MistakeTests {
    /// `EX_CONFIG`: a supervisor need not try again.
    private static let wrongConfiguration: Int32 = 78

    @Test(arguments: Mistake.all)
    func `a service with a wrong configuration ends with one line that names the setting`(
        mistake: Mistake
    ) async throws {
        for service in ServiceName.allCases where mistake.isOf(service) {
            let folder = try TestFolder()
            let environment = try folder.environment(try await mistake.environment(folder))
            let run = try await ServiceRun(service, environment, in: folder)
            try await expectRefusal(of: run, mistake.setting, service)
            // What refuses to start is also what a check before the start finds.
            let check = try await ServiceRun(service, environment, ["--check"], in: folder)
            let code = try await check.exitCode()
            guard mistake.isForeseen else { continue }
            #expect(code == Self.wrongConfiguration, "\(service): \(check.text)")
            #expect(check.text.contains("problem: \(mistake.setting) "), "\(check.text)")
        }
    }

    @Test(arguments: ServiceName.allCases.filter(\.hasSocket))
    func `of two replicas of one name the second ends and the first goes on`(
        service: ServiceName
    ) async throws {
        let folder = try TestFolder()
        let environment = try folder.environment()
        let first = try await ServiceRun(service, environment, in: folder)
        try await first.logged("rpc listening")
        let second = try await ServiceRun(service, environment, in: folder)
        try await expectRefusal(of: second, "OVERSYNC_REPLICA", service)
        #expect(folder.exists("run/\(service.rawValue)/one.sock"))
        try await first.stop()
        #expect(!folder.exists("run/\(service.rawValue)/one.sock"))
    }

    @Test(arguments: ServiceName.allCases)
    func `an admin port that is taken is named`(service: ServiceName) async throws {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let folder = try TestFolder()
        let run = try await ServiceRun(
            service, try folder.environment(["OVERSYNC_ADMIN_PORT": "\(port)"]), in: folder)
        try await expectRefusal(of: run, "OVERSYNC_ADMIN_PORT", service)
        try await listener.close()
    }

    /// What made the services loop: a part that cannot run while others wait for a database that is not there.
    @Test(arguments: ServiceName.allCases)
    func `a service whose database is not there runs on, and ends with code 0 on SIGTERM`(
        service: ServiceName
    ) async throws {
        let folder = try TestFolder()
        let run = try await ServiceRun(service, try folder.environment(), in: folder)
        try await run.logged(service.hasSocket ? "rpc listening" : "listening")
        for signal in [SIGHUP, SIGPIPE] { run.send(signal) }
        try await run.logged("SIGHUP: files read again")
        try await run.stop()
        #expect(run.log.last?.message == "stopped")
        #expect(run.lines.count < 40, "\(run.text)")
    }

    private func expectRefusal(
        of run: ServiceRun, _ setting: String, _ service: ServiceName
    ) async throws {
        let code = try await run.exitCode()
        #expect(code == Self.wrongConfiguration, "\(service): \(run.text)")
        // As JSON all of it: no backtrace, no line for people only.
        let log = run.log
        #expect(log.count == run.lines.count, "\(run.text)")
        #expect(log.count < 20, "\(run.text)")
        let causes = log.filter { $0.level == "critical" }
        #expect(causes.count == 1, "\(run.text)")
        let cause = try #require(causes.first, "\(run.text)")
        #expect(cause.setting == setting, "\(run.text)")
        #expect(cause.source?.isEmpty == false)
        #expect(cause.message.hasPrefix("wrong configuration: \(setting) "))
        #expect(cause.service == service.program)
        // By its own clock, from its first word to its last.
        let begin = try #require(log.first?.time)
        #expect(try #require(cause.time).timeIntervalSince(begin) < 2, "\(run.text)")
    }
}
