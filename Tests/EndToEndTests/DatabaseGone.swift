import AsyncHTTPClient
import Demo
import DevStack
import Foundation
import LocalPostgres
import NIOCore
import NIOHTTP1
import OperatorKit
import Postgres
import Sidecar
import Synchronization
import Testing

@Suite("PostgreSQL goes and comes back", .serialized, .timeLimit(.minutes(5)))
struct DatabaseGone {
    /// How soon every process must know, either way.
    private static let limit: Duration = .seconds(3)
    /// Longest time for an answer from memory, on a machine that does other things too.
    private static let atOnce: Duration = .milliseconds(500)

    @Test(
        "Stopped, every service says so within 3 s and answers at once; started, each is ready within 3 s"
    )
    func stopped() async throws {
        try await withDoors { doors, wire, postgres in
            try await postgres.stop(.fast)
            let stopped = ContinuousClock.now
            let took = try await doors.wait(for: 503, since: stopped)
            #expect(took < Self.limit, "not ready after \(took)")
            for service in ["auth", "upload", "download"] {
                try await doors.expect(service, 503, "nothing listens at")
            }
            try await doors.expect("gateway", 503, "no replica of upload is ready")
            try await doors.expect("gateway", 503, "nothing listens at")
            let ready = try await wire.send(.GET, "/ready")
            #expect(ready.status == 503)
            #expect(ready.text.contains(#""missing":["auth","upload","download"]"#))
            #expect(try await wire.send(.GET, "/health").status == 200)
            let requests: [@Sendable () async throws -> WireDevice.Answer] = [
                { try await wire.uploadRow(2) }, wire.downloadOne,
            ]
            // Callers wait through a quick restart. After that nobody waits for what is not there.
            for request in requests { #expect(try await request().status == 503) }
            for _ in 0..<3 {
                for answer in requests {
                    let asked = ContinuousClock.now
                    let answer = try await answer()
                    #expect(answer.status == 503)
                    #expect(Int(answer.headers["retry-after"] ?? "").map { $0 >= 1 } == true)
                    #expect(.now - asked < Self.atOnce, "\(ContinuousClock.now - asked)")
                }
            }
            // A process that starts meanwhile waits for PostgreSQL like the others.
            try await doors.replace("upload", of: wire.stack)
            let successor = try await doors.ask("upload")
            #expect(successor.status == 503)

            try await postgres.start()
            let started = ContinuousClock.now
            let back = try await doors.wait(for: 200, since: started)
            #expect(back < Self.limit, "ready after \(back)")
            #expect(try await wire.send(.GET, "/ready").status == 200)
            #expect(try await wire.uploadRow(3).status == 200)
            #expect(try await wire.downloadOne().status == 200)
        }
    }

    @Test("Frozen, every service says so within 3 s, and the question is answered at once")
    func frozen() async throws {
        try await withDoors { doors, wire, postgres in
            let processes = try Self.processes(of: postgres)
            #expect(processes.count > 4)
            for process in processes { #expect(kill(process, SIGSTOP) == 0) }
            let frozen = ContinuousClock.now
            defer { for process in processes { kill(process, SIGCONT) } }
            let took = try await doors.wait(for: 503, since: frozen)
            #expect(took < Self.limit, "not ready after \(took)")
            for service in AdminDoors.services {
                // Auth's keys lie in the same database, and may be found late before it is.
                try await doors.expect(
                    service, 503, "PostgreSQL: does not answer within 600 ms")
                let asked = ContinuousClock.now
                #expect(try await doors.ask(service).status == 503)
                #expect(.now - asked < Self.atOnce)
            }
            #expect(.now - frozen < Self.limit, "named after \(ContinuousClock.now - frozen)")
            #expect(try await wire.send(.GET, "/ready").status == 503)
            for process in processes { kill(process, SIGCONT) }
            let back = try await doors.wait(for: 200, since: .now)
            #expect(back < Self.limit, "ready after \(back)")
            #expect(try await wire.uploadRow(2).status == 200)
        }
    }

    @Test("A missing GRANT is named by role, privilege and table, and never taken for an outage")
    func grants() async throws {
        try await withDoors { doors, wire, _ in
            let role = ServiceRole.upload.defaultName
            try await withConnection(to: wire.stack.database) { sql in
                // On one business table: ready, but degraded.
                try await sql.execute(script: "REVOKE UPDATE ON business.users FROM \(role)")
                try await doors.expect("upload", 200, "UPDATE on business.users")
                try await doors.expect("gateway", 200, "uploads to business.users fail")
                #expect(try await wire.send(.GET, "/ready").status == 200)
                try await sql.execute(script: "GRANT UPDATE ON business.users TO \(role)")
                try await doors.expect("upload", 200, "\"ready\"")
                // On a table of the sidecar: not ready.
                try await sql.execute(script: "REVOKE INSERT ON sync.change_log FROM \(role)")
                try await doors.expect(
                    "upload", 503, "the role \(role) lacks INSERT on sync.change_log")
                let ready = try await wire.send(.GET, "/ready")
                #expect(ready.status == 503)
                #expect(ready.text.contains(#""missing":["upload"]"#))
                let refused = try await wire.uploadRow(2)
                #expect(refused.status == 503)
                #expect(refused.headers["retry-after"] != nil)
                #expect(refused.text.contains("lacks a privilege"), "\(refused.text)")
                #expect(try await wire.downloadOne().status == 200)
                try await sql.execute(script: "GRANT INSERT ON sync.change_log TO \(role)")
                try await doors.expect("upload", 200, "\"ready\"")
                #expect(try await wire.uploadRow(2).status == 200)
            }
        }
    }

    /// The server and everything that it has started.
    private static func processes(of postgres: LocalPostgres) throws -> [Int32] {
        let server = try #require(postgres.process)
        let all = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap {
            Int32($0)
        }
        return [server]
            + all.filter { id in
                guard let stat = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8),
                    let end = stat.lastIndex(of: ")")
                else { return false }
                // After the name: the state and the parent.
                return stat[end...].split(separator: " ").dropFirst(2).first == "\(server)"
            }
    }
}

/// Runs a test with the admin listeners of every service, and a device.
private func withDoors(
    _ body: @escaping @Sendable (AdminDoors, WireDevice, LocalPostgres) async throws -> Void
) async throws {
    let folder = Mutex("")
    try await withStack { directory in
        var stack = plan(in: directory, DemoTables.registrations, DemoTables.businessSchema)
        stack.downloadReplicas = 1
        // The listeners' ports stand in lines of this level.
        stack.environment["OVERSYNC_LOG_LEVEL"] = "debug"
        folder.withLock { $0 = directory.log }
        return stack
    } _: { stack, postgres in
        let log = folder.withLock { $0 }
        try await stack.withClient { client in
            let wire = try await WireDevice(stack, client, user: "ann", device: "phone")
            #expect(try await wire.uploadRow(1).status == 200)
            try await body(AdminDoors(client: client, log: log), wire, postgres)
        }
    }
}

extension WireDevice {
    /// Uploads a new row; the same number is the same change.
    @Sendable fileprivate func uploadRow(_ number: Int) async throws -> Answer {
        try await upload(
            #"{"source_change_id":\#(number),"schema":"business","table":"users","op":"INSERT","pk":"00000000-0000-4000-8000-00000000000\#(number)","server_version":0,"payload":{"name":"x"}}"#
        )
    }

    /// By another device than the one that uploads: it reads the database each time.
    @Sendable fileprivate func downloadOne() async throws -> Answer {
        try await download("after=0&limit=10&include_self=true")
    }
}

/// The admin listeners of a stack's services.
private struct AdminDoors: Sendable {
    static let services = ["auth", "upload", "download", "gateway"]
    /// How long a test waits for what it expects; what it measures is shorter.
    private static let patience: Duration = .seconds(30)

    let client: HTTPClient
    /// The stack's log, which has the ports.
    let log: String

    /// The ports on which a service has listened, one for each process.
    private func ports(of service: String) throws -> [Int] {
        try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap { line in
            guard line.contains("\"service\":\"oversync-\(service)\""),
                line.contains("admin listener is up"),
                let match = line.firstMatch(of: /"port":"(\d+)"/)
            else { return nil }
            return Int(match.1)
        }
    }

    func ask(_ service: String) async throws -> (status: Int, text: String) {
        let port = try #require(try ports(of: service).last, "\(service) has no admin listener")
        let response = try await client.execute(
            HTTPClientRequest(url: "http://127.0.0.1:\(port)/ready"), timeout: .seconds(5))
        let body = try await response.body.collect(upTo: 1 << 16)
        return (Int(response.status.code), String(buffer: body))
    }

    /// Waits until every service answers with the status.
    ///
    /// - Returns: the time that this took.
    func wait(for status: Int, since start: ContinuousClock.Instant) async throws -> Duration {
        var times: [String] = []
        for service in Self.services {
            while true {
                let answer = try await ask(service)
                if answer.status == status { break }
                try #require(.now - start < Self.patience, "\(service): \(answer)")
                try await pause()
            }
            times.append("\(service) \(ContinuousClock.now - start)")
        }
        print("answering \(status) after", times.joined(separator: ", "))
        return .now - start
    }

    /// Between two looks only: what the tests wait for is the answer, which has no event.
    private func pause() async throws { try await Task.sleep(for: .milliseconds(20)) }

    /// Waits for an answer with the status and the words.
    func expect(_ service: String, _ status: Int, _ words: String) async throws {
        let end = ContinuousClock.now + Self.patience
        while true {
            let answer = try await ask(service)
            if answer.status == status, answer.text.contains(words) { return }
            try #require(.now < end, "\(service): \(answer.status) \(answer.text)")
            try await pause()
        }
    }

    /// Kills a process, and waits until its successor answers.
    func replace(_ service: String, of stack: StackAddress) async throws {
        let before = try ports(of: service).count
        let victim = try #require(ServiceProcesses.named("oversync-\(service)", of: stack).first)
        #expect(kill(victim, SIGKILL) == 0)
        let end = ContinuousClock.now + Self.patience
        while try ports(of: service).count == before {
            try #require(.now < end)
            try await pause()
        }
        while (try? await ask(service)) == nil {
            try #require(.now < end)
            try await pause()
        }
    }
}
