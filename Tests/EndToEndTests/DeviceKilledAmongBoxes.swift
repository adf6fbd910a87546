import DeviceScript
import Foundation
import OperatorKit
import Postgres
import SeededRandom
import Sidecar
import Testing

@Suite("A device is killed among boxes", .serialized)
struct DeviceKilledAmongBoxes {
    /// Steps of a script in `make test`, and how often a device dies of it.
    private static let usualSteps = 16
    private static let usualLives = 4

    /// `OVERSYNC_BOX_SEEDS=n` tries n longer scripts, and `21-40` those with these seeds. A device
    /// dies less often of each.
    private static let asked =
        ProcessInfo.processInfo.environment["OVERSYNC_BOX_SEEDS"].flatMap(seeds(in:))
    private static let seeds = asked ?? 1...3
    private static let steps = asked == nil ? usualSteps : 3 * usualSteps
    private static let lives = asked == nil ? usualLives : 3
    private static let deaths = 2
    /// Devices that run at once.
    private static let width = 2

    /// ```
    /// device     edit ─ commit ─ fetch ─ send ─ …   again ─ …   again, to the end
    /// kill -9         ▲      ▲       ▲      ▲    ╳            ╳
    /// plain SQL       ── slots ──── slots ── slots ──── slots ──
    /// ```
    @Test(
        "P4: a device that dies anywhere among swaps, defaults and roundings has the server's rows"
    )
    func boxes() async throws {
        try await withStack({
            plan(in: $0, BoxScript.registrations, BoxScript.businessSchema)
        }) { stack in
            let folder = NSTemporaryDirectory() + "device-boxes-\(UUID().uuidString)"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            for seed in Self.seeds {
                let script = BoxScript(seed: seed, steps: Self.steps)
                try await Self.live(BoxRun(script: script, stack: stack, folder: folder))
            }
            try await withConnection(to: stack.database) { connection in
                _ = try await Verifier(connection: connection).run { differences in
                    for difference in differences { Issue.record("verify: \(difference)") }
                }
            }
        }
    }

    private static func seeds(in text: String) -> ClosedRange<UInt64>? {
        let ends = text.split(separator: "-").compactMap { UInt64($0) }
        guard let last = ends.last, ends.count <= 2 else { return nil }
        let first = ends.count == 2 ? ends[0] : 1
        return first <= last ? first...last : nil
    }

    private static func live(_ run: BoxRun) async throws {
        let points = try await run.live(dying: [])
        let seed = run.script.seed
        try #require(points > steps, "seed \(seed)")
        var random = SeededGenerator(seed: seed)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for life in 1...lives {
                if life > width { try await group.next() }
                let ends = (0..<deaths).map { _ in Int.random(in: 1...points, using: &random) }
                group.addTask { _ = try await run.live(dying: ends) }
            }
            try await group.waitForAll()
        }
    }
}

/// Lives of one device, all with the same script, each as a user of its own.
private struct BoxRun: Sendable {
    /// Attempts at an exchange of slots.
    private static let mostAttempts = 10
    /// Exchanges of slots while a process runs.
    private static let mostExchanges = 6

    let script: BoxScript
    let stack: StackAddress
    let folder: String

    /// One life: it dies at these points, one process after the other, and is then left alone.
    ///
    /// - Returns: how many points the last process passed.
    func live(dying points: [Int]) async throws -> Int {
        let user = "s\(script.seed)" + points.map { "-\($0)" }.joined()
        let path = "\(folder)/\(user).db"
        let usual = [path, stack.gateway, "\(script.seed)", "\(script.steps.count)"]
        let rest = [try await stack.token(user: user, device: "chaos"), stack.authority]
        for point in points {
            let end = try await beside(turningSlotsOf: user) {
                try await DeviceProcess.run(usual + ["\(point)"] + rest, output: path + ".out")
            }
            #expect(
                try end.wasKilled || end.isSuccess && #require(end.number("points")) < point,
                "\(script) \(user): \(end)")
            try await exchangeSlots(of: user)
        }
        let end = try await DeviceProcess.run(usual + ["0"] + rest, output: path + ".out")
        #expect(end.isSuccess, "\(script) \(user): \(end)")
        try await check(end, user)
        return try #require(end.number("points"))
    }

    /// Runs a process next to a back end that exchanges slots whenever the log has grown.
    private func beside(
        turningSlotsOf user: String,
        _ process: @escaping @Sendable () async throws -> DeviceProcess.End
    ) async throws -> DeviceProcess.End {
        try await withThrowingTaskGroup(of: DeviceProcess.End?.self) { group in
            group.addTask {
                try await turnSlots(of: user)
                return nil
            }
            group.addTask { try await process() }
            var end: DeviceProcess.End?
            while end == nil, let next = try await group.next() { end = next }
            group.cancelAll()
            return try #require(end)
        }
    }

    private func turnSlots(of user: String) async throws {
        let head = Statement(
            name: "head",
            sql: "SELECT coalesce(max(last_seq), 0) FROM sync.scope WHERE user_id = '\(user)'")
        try await withConnection(to: stack.database) { connection in
            var (known, turns) = (Int64(0), 0)
            while !Task.isCancelled, turns < Self.mostExchanges {
                // PostgreSQL signals nothing; the end of the process ends this.
                let now = try await connection.rows(head, of: Int64.self).all().first ?? 0
                guard now > known else { continue }
                try await exchangeSlots(of: user)
                known = try await connection.rows(head, of: Int64.self).all().first ?? 0
                turns += 1
            }
        }
    }

    /// What a back end does meanwhile: it gives slots, and exchanges them in one statement.
    private func exchangeSlots(of user: String) async throws {
        let shared = "id <= '\(DeviceScript.key(BoxScript.sharedBoxes.upperBound))'"
        let sql = """
            UPDATE business.boxes AS b SET slot = n.slot, tag = n.tag, weight = n.weight FROM (
                SELECT id, slot, \(BoxScript.tag) AS tag, \(BoxScript.weight) AS weight FROM (
                    SELECT id, 1 + row_number() OVER (ORDER BY slot DESC NULLS FIRST, id) AS slot
                    FROM business.boxes WHERE owner = '\(user)' AND \(shared)
                ) AS turned
            ) AS n WHERE n.id = b.id AND b.owner = '\(user)'
            """
        try await withConnection(to: stack.database) { connection in
            for attempt in 1...Self.mostAttempts {
                do {
                    return try await connection.execute(script: sql)
                } catch let error as PostgresError
                    where error.serverError != nil && attempt < Self.mostAttempts
                {
                    // What the device had sent when it died was written meanwhile.
                }
            }
        }
    }

    private func check(_ end: DeviceProcess.End, _ user: String) async throws {
        #expect(end.lines.contains("pending 0 held 0"), "\(script) \(user): \(end.lines)")
        func lines(_ word: String, of lines: [String]) -> [String] {
            lines.filter { $0.hasPrefix(word + " ") }
        }
        let stored = try await withConnection(to: stack.database) { connection in
            try await connection.rows(
                Statement(name: "stored_boxes", sql: Self.storedRows(of: user)), of: String.self
            ).all()
        }
        let boxes = lines("boxes", of: stored)
        #expect(try boxes == script.day.editedRows(), "\(script) \(user)")
        #expect(lines("boxes", of: end.lines) == boxes, "\(script) \(user)")
        #expect(lines("slot", of: end.lines) == lines("slot", of: stored), "\(script) \(user)")
        #expect(lines("lost", of: stored) == [], "\(script) \(user)")
        #expect(lines("twice", of: stored) == [], "\(script) \(user)")
    }

    /// The rows as the device prints them, those with another tag or weight than was given with the
    /// slot, and change ids that the log has twice.
    private static func storedRows(of user: String) -> String {
        """
        SELECT line FROM (
            SELECT format('boxes %s|%s|%s|%s|%s|%s|%s|%s|%s', id, place, name,
                coalesce(price::text, 'NULL'), coalesce(rate::text, 'NULL'),
                coalesce(to_json(packed) #>> '{}', 'NULL'),
                coalesce(to_json(code) #>> '{}', 'NULL'), to_json(made) #>> '{}', kind) AS line
            FROM business.boxes WHERE owner = '\(user)'
            UNION ALL
            SELECT format('slot %s %s', id, slot) FROM business.boxes
            WHERE owner = '\(user)' AND slot IS NOT NULL
            UNION ALL
            SELECT format('lost %s %s %s', id, tag, weight) FROM business.boxes
            WHERE owner = '\(user)'
                AND (tag, weight) IS DISTINCT FROM (\(BoxScript.tag), \(BoxScript.weight))
            UNION ALL
            SELECT format('twice %s', l.source_change_id)
            FROM sync.change_log l JOIN sync.scope s USING (scope_id)
            JOIN sync.source d USING (scope_id, source_no)
            WHERE s.user_id = '\(user)'
            GROUP BY l.source_no, l.source_change_id HAVING count(*) > 1
        ) AS lines ORDER BY line COLLATE "C"
        """
    }
}
