/// What attacks are held against. Each is a judgement of what was seen, and of nothing else.
extension SiegeObservation {
    /// Other users may be slower by this factor than without an attack.
    private static let slowdown = 5.0
    /// Milliseconds that nobody notices, however fast the machine is otherwise.
    private static let unnoticed = 50.0
    /// Memory that may remain in use, as a share of what was in use before.
    private static let remains = 1.2
    /// The largest share of the machine's processors that may make the attack: more would itself be
    /// why the other user waits.
    static let mostAttacker = 0.25

    /// The other user is answered, and about as fast as before.
    var victimIsUnharmed: [Judgement] {
        [victimIsAnswered]
            + victim("p95 ms", \.p95) { idle in
                .atMost(max(Self.slowdown * idle.p95, Self.unnoticed))
            }
    }

    /// All requests of the other user succeed.
    var victimIsAnswered: Judgement {
        let failures = during.failures.sorted { $0.key < $1.key }
            .map { "\($0.value) × \($0.key)" }.joined(separator: ", ")
        let what = "other user: requests that failed" + (failures.isEmpty ? "" : " (\(failures))")
        return .plain(what, Double(during.failed), .atMost(0))
    }

    /// The other user waits for less than this number of milliseconds.
    func victimP99(below bound: Double) -> [Judgement] {
        victim("p99 ms", \.p99) { _ in .atMost(bound) }
    }

    /// The other user did some work of a kind, so that its failures would have been seen.
    func victimDid(_ work: Victim.Work) -> Judgement {
        .plain(
            "other user: answers to \(work.rawValue)",
            during.latencyOf[work.rawValue] == nil ? 0 : 1, .atLeast(1))
    }

    private func victim(
        _ what: String, _ value: (LatencySummary) -> Double,
        _ bound: (LatencySummary) -> Judgement.Bound
    ) -> [Judgement] {
        guard let idle = idle.latency, let during = during.latency else {
            return [.plain("other user: phases in which it was answered", 0, .atLeast(2))]
        }
        return [.plain("other user: \(what)", value(during), bound(idle))]
    }

    /// Each refusal says when to come back, and nothing else fails.
    var refusalsAreClean: [Judgement] {
        [
            .plain("attacker: answers 5xx other than 503", Double(attack.faults), .atMost(0)),
            .plain(
                "attacker: answers 429 and 503 without Retry-After",
                Double(attack.withoutRetryAfter), .atMost(0)),
        ]
    }

    /// The memory of some groups of processes comes back.
    func memoryReturns(of groups: String...) -> Judgement {
        func megabytes(_ usage: ProcessUsage) -> Double {
            Double(groups.reduce(0) { $0 + (usage.resident[$1] ?? 0) }) / 1_048_576
        }
        return .ratio(
            "memory of \(groups.joined(separator: " and ")) afterwards, MB, to before",
            megabytes(settled), to: megabytes(before), .atMost(Self.remains))
    }

    /// The memory of a group of processes stays within some bytes more than before.
    func memoryGrows(of group: String, atMost bytes: Int) -> Judgement {
        func megabytes(_ bytes: Int) -> Double { Double(bytes) / 1_048_576 }
        return .difference(
            "memory of \(group) at its peak, MB, beyond before",
            megabytes(peak.resident[group] ?? 0), from: megabytes(before.resident[group] ?? 0),
            .atMost(megabytes(bytes)))
    }

    /// A time of the attack's own against another one.
    func figure(
        _ what: String, _ name: String, to floor: String, _ bound: Judgement.Bound
    ) -> [Judgement] {
        guard let value = attack.figures[name], let floor = attack.figures[floor] else {
            return [.plain("\(what): measurements", 0, .atLeast(2))]
        }
        return [.ratio(what, value, to: floor, bound)]
    }

    /// No process ended: its successor would have little memory, and answer again soon.
    var everyProcessLives: Judgement {
        .plain("services: processes that ended", Double(ended), .atMost(0))
    }

    /// The attack did not take the processors away by itself.
    var attackerIsBounded: Judgement {
        .plain(
            "attacker: share of the machine's processors", attackerShare,
            .atMost(Self.mostAttacker))
    }
}
