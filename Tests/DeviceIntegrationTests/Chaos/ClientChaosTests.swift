import DeviceScript
import Foundation
import OverSQLiteTestSupport
import SeededRandom
import Testing

/// ```
/// device     edit ─ commit ─ fetch ─ commit ─ send ─ answer ─ commit ─ …     again, to the end ─ quiet
/// kill -9         ▲      ▲         ▲       ▲      ▲        ▲       ▲
/// other              ── writes ──────── writes ───── writes ──────
/// ```
@Suite("Client chaos") struct ClientChaosTests {
    /// Steps of a script in `make test`, where every point is tried once.
    private static let usualSteps = 14
    /// Devices that run at once.
    private static let width = 2

    /// `OVERSYNC_CHAOS_SEEDS=n` tries n longer scripts, with a second death in each.
    private static let seeds =
        ProcessInfo.processInfo.environment["OVERSYNC_CHAOS_SEEDS"].flatMap { UInt64($0) }
    private static let steps = seeds == nil ? usualSteps : 4 * usualSteps

    @Test(
        "P1: a device that dies at any commit or request goes on at its next start: nothing is lost, nothing is applied twice",
        arguments: 1...(seeds ?? 1))
    func everyPoint(seed: UInt64) async throws {
        let gateway = ChaosGateway()
        try await LoopbackServer.run(gateway) { url in
            let folder = NSTemporaryDirectory() + "device-chaos-\(UUID().uuidString)"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let run = ChaosRun(
                seed: seed, steps: Self.steps, gateway: gateway, url: url, folder: folder)
            let points = try await run.live(dying: [])
            try #require(points > 2 * Self.steps)
            var random = SeededGenerator(seed: seed)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for point in 1...points {
                    if point > Self.width { try await group.next() }
                    let second = Int.random(in: 1...points, using: &random)
                    let deaths = Self.seeds == nil ? [point] : [point, second]
                    group.addTask { _ = try await run.live(dying: deaths) }
                }
                try await group.waitForAll()
            }
        }
    }
}

/// Lives of one device, all with the same script.
struct ChaosRun: Sendable {
    let seed: UInt64
    let steps: Int
    let gateway: ChaosGateway
    let url: String
    let folder: String

    /// One life: it dies at these points, one process after the other, and is then left alone.
    ///
    /// - Returns: how many points the last process passed.
    func live(dying points: [Int]) async throws -> Int {
        let name = "life" + points.map { "-\($0)" }.joined()
        _ = gateway.session(name, seed: seed)
        let path = "\(folder)/\(name).db"
        let usual = [path, "\(url)/\(name)", "\(seed)", "\(steps)"]
        for point in points {
            let end = try await DeviceProcess.run(
                usual + ["\(point)"], output: path + ".out")
            // It dies at its point unless it ends before it gets there: a second process has
            // less left to do, and how many requests a life needs varies with its timing.
            #expect(
                try end.wasKilled || end.isSuccess && #require(end.number("points")) < point,
                "\(name): \(end)")
        }
        let end = try await DeviceProcess.run(usual + ["0"], output: path + ".out")
        #expect(end.isSuccess, "\(name): \(end)")
        try check(end, gateway.session(name), name)
        return try #require(end.number("points"))
    }

    private func check(
        _ end: DeviceProcess.End, _ session: ChaosGateway.Session, _ name: String
    ) throws {
        #expect(end.lines.contains("pending 0 held 0"), "seed \(seed) \(name): \(end.lines)")
        let rows = end.lines.filter { $0.hasPrefix("users ") || $0.hasPrefix("posts ") }
        #expect(
            try rows == DeviceScript(seed: seed, steps: steps).day.editedRows(),
            "seed \(seed) \(name)")
        let ages = end.lines.filter { $0.hasPrefix("age ") }
        #expect(
            ages == session.ages.map { "age \($0.key) \($0.value)" }.sorted(),
            "seed \(seed) \(name)")
        #expect(try serverRows(session.gateway) == rows, "seed \(seed) \(name)")
        #expect(appliedTwice(session.gateway.log()) == [], "seed \(seed) \(name)")
    }

    private struct ServerRow: Decodable {
        let name: String?
        let user_id: String?
        let title: String?
    }

    private func serverRows(_ gateway: InMemoryGateway) throws -> [String] {
        var lines: [String] = []
        for table in ["users", "posts"] {
            for (key, payload) in gateway.rows(table) {
                let row = try JSONDecoder().decode(ServerRow.self, from: Data(payload.utf8))
                lines.append(
                    table == "users"
                        ? "users \(key) \(row.name ?? "-")"
                        : "posts \(key) \(row.user_id ?? "-") \(row.title ?? "-")")
            }
        }
        return lines.sorted()
    }

    /// Changes that came under one id twice, or that say what stood already.
    private func appliedTwice(_ log: [InMemoryGateway.LoggedChange]) -> [String] {
        var found: [String] = []
        var ids: Set<Int> = []
        var newest: [String: InMemoryGateway.LoggedChange] = [:]
        for change in log {
            let row = "\(change.table) \(change.pk)"
            if change.device == "chaos", !ids.insert(change.changeID).inserted {
                found.append("id \(change.changeID) twice")
            }
            if let before = newest[row] {
                if before.payload == change.payload { found.append("\(row) the same twice") }
                if change.version != before.version + 1 { found.append("\(row) skips a version") }
            }
            newest[row] = change
        }
        return found
    }
}
