/// Eight devices of one user that upload at once: each waits for the others once, and no longer.
struct EightDevices: Attack {
    private static let devices = 8
    private static let changes = 200
    private static let alone = "alone p50 ms"
    private static let together = "together p99 ms"

    let id = "eight-devices"
    let work = "8 devices of one user upload 200 changes each at once"

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
            let alone = try await loop.measure(&first, timing)
            var all = first + sources.dropFirst()
            let together = try await loop.measure(&all, timing)
            var report = AttackReport()
            report.answers["200"] = alone.requests + together.requests
            report.latency = together.latency
            report.figures[Self.alone] = alone.latency?.p50
            report.figures[Self.together] = together.latency?.p99
            return report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        [seen.victimIsAnswered]
            + seen.figure(
                "its own devices: p99 ms of \(Self.devices) at once, to one upload alone",
                Self.together, to: Self.alone, .atMost(Double(Self.devices)))
    }
}
