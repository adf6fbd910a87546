import DevStack
import Foundation
import GatewayAccess
import Load
import LocalPostgres
import OperatorKit
import Sidecar
import Synchronization
import Testing

@Suite("Every process killed", .timeLimit(.minutes(5)))
struct EveryProcessKilled {
    private typealias Acknowledged = PersistentDevice.Acknowledged

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
            let gateway = try await GatewayAccess(stack)
            try await gateway.withClient { client in
                let answers = Progress()
                try await withThrowingTaskGroup(of: [Acknowledged].self) { group in
                    for number in 0..<6 {
                        let (user, name) = ("user\(number % 2)", "device\(number)")
                        let wire = try await PersistentWire(
                            gateway, client, user: user, device: name, tally: LoadTally())
                        group.addTask {
                            var device = PersistentDevice(
                                user: user, device: name, number: number, run: 1,
                                schema: "business", wire: wire)
                            var acknowledged: [Acknowledged] = []
                            while !answers.isOver {
                                acknowledged += try #require(try await device.send())
                                answers.add()
                            }
                            return acknowledged
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
                        return []
                    }
                    let acknowledged = try await group.reduce(into: []) { $0 += $1 }
                    for device in Dictionary(grouping: acknowledged, by: \.device).values {
                        #expect(device.count > 20)
                    }
                    let report = try await AcknowledgedCheck(gateway: gateway).run(acknowledged)
                    #expect(report.isClean, "\(report.faults)")
                    #expect(report.changes == acknowledged.count)
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
