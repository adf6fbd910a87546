import AsyncHTTPClient
import DevStack
import Foundation
import GapCheck
import GatewayAccess
import Load
import NIOCore
import NIOHTTP1
import OperatorKit
import Testing

/// Two whole stacks on one PostgreSQL, as on two hosts: Upload tells the Download replicas of its own host alone.
@Suite("Two hosts", .serialized, .timeLimit(.minutes(3)))
struct TwoHosts {
    @Test("What is committed on one host reaches a watcher on the other long before a poll is due")
    func watch() async throws {
        try await Self.withTwoStacks { here, there in
            let commits = 15
            try await here.withClient { client in
                let writer = try await WireDevice(here, client, user: "ann", device: "phone")
                let watcher = try await WireDevice(there, client, user: "ann", device: "laptop")
                var delays: [Duration] = []
                var request = HTTPClientRequest(url: there.gateway + "/sync/watch?after=0")
                request.headers.add(name: "authorization", value: "Bearer \(watcher.token)")
                let response = try await client.execute(request, timeout: .seconds(60))
                try #require(response.status == .ok)
                var body = response.body.makeAsyncIterator()
                var events = WatchEvents()
                for number in 1...commits {
                    let answer = try await writer.upload(
                        """
                        {"source_change_id":\(number),"schema":"business","table":"users","op":"INSERT",\
                        "pk":"\(UUID().uuidString.lowercased())","server_version":0,"payload":{"name":"a"}}
                        """)
                    let committed = ContinuousClock.now
                    #expect(answer.status == 200, "\(answer.text)")
                    var head: Int64 = 0
                    while head < number {
                        let piece = try await body.next()
                        head = events.take(try #require(piece)).last ?? head
                    }
                    delays.append(.now - committed)
                }
                // Polls alone take half a second: each commit follows the event that a poll brought.
                #expect(delays.sorted()[commits / 2] < .milliseconds(250), "\(delays)")
            }
        }
    }

    @Test("Devices behind a balancer write and read on either host, and nothing is lost or doubled")
    func balanced() async throws {
        try await Self.withTwoStacks { here, there in
            let ports = try [here, there].map {
                try #require(URLComponents(string: $0.gateway)?.port)
            }
            try await CuttingProxy.run(before: ports) { _, port in
                let gateway = try await GatewayAccess(
                    url: "https://127.0.0.1:\(port)", authority: here.authority,
                    secretFile: here.hs256SecretFile)
                let path = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
                defer { try? FileManager.default.removeItem(atPath: path) }
                var plan = LoadRun.Plan()
                plan.seconds = 3
                let report = try await LoadRun(
                    plan, gateway: gateway, file: try AcknowledgedFile(path)
                ).perform()
                #expect(report.fatal == [])
                let acknowledged = try AcknowledgedFile.read(path)
                #expect(acknowledged.count == report.acknowledged)
                #expect(report.read > 0)
                let found = try await AcknowledgedCheck(gateway: gateway).run(acknowledged)
                #expect(found.isClean, "\(found.faults)")
                #expect(found.acknowledged == acknowledged.count && found.users == 2)
            }
        }
    }

    /// Lends two stacks with one database.
    private static func withTwoStacks(
        _ body: @escaping @Sendable (StackAddress, StackAddress) async throws -> Void
    ) async throws {
        try await withStarted(demonstrationPlan) { here in
            let beside: (StackDirectory) -> Stack.Plan = { directory in
                var plan = demonstrationPlan(in: directory)
                plan.companion = here.companion
                return plan
            }
            try await withStarted(beside) { there in
                try await body(here.address, there.address)
            }
        }
    }
}
