/// Everything that was seen of one attack.
struct SiegeObservation: Codable, Sendable {
    let id: String
    let work: String
    /// Seconds of the attack.
    var seconds: Double
    /// What another user met before, during and after it.
    var idle = VictimReport()
    var during = VictimReport()
    var after = VictimReport()
    /// The processes before it.
    var before: ProcessUsage
    /// The most memory and descriptors during it; the processor seconds are those it took.
    var peak: ProcessUsage
    /// The processes some time after it.
    var settled: ProcessUsage
    var attack: AttackReport
    /// Services' processes that were there before it and were gone after it.
    var ended = 0
    /// Processors of the machine.
    var cores: Int

    /// The share of the machine's processors that made the attack, and the other user's work, took.
    var attackerShare: Double { share(of: ProcessUsage.generator) }

    /// The share of the machine's processors that a group of processes took during the attack.
    func share(of group: String) -> Double {
        seconds > 0 ? (peak.seconds[group] ?? 0) / (seconds * Double(cores)) : 0
    }
}

/// One attack, and what was required of it.
package struct SiegeResult: Codable, Sendable {
    let seen: SiegeObservation
    let requirements: [Judgement]

    package var id: String { seen.id }
    /// Whether every requirement holds.
    package var holds: Bool { requirements.allSatisfy(\.isReached) }
    /// What does not hold, a line for each.
    package var broken: [String] {
        requirements.filter { !$0.isReached }.map { judgement in
            "\(id): \(judgement.what): \(Number.text(judgement.value)), "
                + "must be \(judgement.bound.text)"
        }
    }
    /// The other user's requests during the attack, and how many of them failed.
    package var victim: (requests: Int, failed: Int) {
        (seen.during.requests, seen.during.failed)
    }
    /// How often the attack got each answer.
    package var answers: [String: Int] { seen.attack.answers }

    init(_ seen: SiegeObservation, _ requirements: [Judgement]) {
        self.seen = seen
        self.requirements = requirements + [seen.everyProcessLives, seen.attackerIsBounded]
    }
}
