/// Eight devices of one user that upload at once: each waits for the others once, and no longer.
struct EightDevices: Attack {
    private static let devices = 8
    private static let changes = 50
    private static let inRow = "eight in a row p99 ms"
    private static let together = "together p99 ms"

    let id = "eight-devices"
    let work = "8 devices of one user upload 50 changes each at once"

    func prepare(_ field: SiegeField) async throws -> Assault {
        var sources: [any RequestSource] = []
        for index in 0..<Self.devices {
            let device = try await field.device("attacker", "device-\(index)")
            sources.append(UploadSource(device, .inserts, changes: Self.changes))
        }
        let loop = ClosedLoop(target: field.target, groups: field.groups)
        let timing = LoadTiming(seconds: field.plan.seconds)
        return { [sources] in
            var first = [sources[0]]
            let before = try await loop.measure(&first, timing, latencyOf: Self.devices)
            var all = first + sources.dropFirst()
            let together = try await loop.measure(&all, timing)
            first = [all[0]]
            // The tables have grown meanwhile, and each upload takes longer by that.
            let after = try await loop.measure(&first, timing, latencyOf: Self.devices)
            var report = AttackReport()
            report.answers["200"] = before.requests + together.requests + after.requests
            report.latency = together.latency
            if let before = before.latency?.p99, let after = after.latency?.p99 {
                report.figures[Self.inRow] = (before + after) / 2
            }
            report.figures[Self.together] = together.latency?.p99
            return report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [seen.victimIsAnswered]
            + seen.figure(
                "its own devices: p99 ms of \(Self.devices) at once, to that many in a row",
                Self.together, to: Self.inRow, .atMost(1))
    }
}
