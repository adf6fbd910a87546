import Foundation
import NIOCore
import Testing

@testable import Bench

@Suite("What an attack is held against")
struct SiegeTests {
    /// Requests of the other user that took this many milliseconds each.
    private static func report(
        _ milliseconds: [UInt64], failing: [String] = []
    ) -> VictimReport {
        VictimRecord.report(
            milliseconds.map { .init(work: .page, answer: "200", microseconds: $0 * 1000) }
                + failing.map { .init(work: .poll, answer: $0, microseconds: 1000) })
    }

    private static func seen(
        idle: VictimReport = report([2, 2, 2]), during: VictimReport = report([2, 2, 2]),
        attack: AttackReport = AttackReport(),
        memory: (before: Int, peak: Int, settled: Int) = (100, 100, 100), generator: Double = 1
    ) -> SiegeObservation {
        func usage(_ megabytes: Int, seconds: Double = 0) -> ProcessUsage {
            ProcessUsage(
                seconds: [ProcessUsage.generator: seconds],
                resident: ["gateway": megabytes << 20], descriptors: ["gateway": 30])
        }
        return SiegeObservation(
            id: "attack", work: "an attack", seconds: 10, idle: idle, during: during,
            after: idle, before: usage(memory.before),
            peak: usage(memory.peak, seconds: generator), settled: usage(memory.settled),
            attack: attack, cores: 2)
    }

    private static func hold(_ judgements: [Judgement]) -> Bool {
        judgements.allSatisfy(\.isReached)
    }

    @Test("A fast user may become slower by what nobody notices, a slow one five times as slow")
    func slowdown() {
        func holds(_ idle: UInt64, _ during: UInt64) -> Bool {
            Self.hold(
                Self.seen(idle: Self.report([idle]), during: Self.report([during]))
                    .victimIsUnharmed)
        }
        #expect(holds(1, 49))
        #expect(!holds(1, 52))
        #expect(holds(20, 99))
        #expect(!holds(20, 102))
    }

    @Test("One refused request of the other user is too many, and its status is told")
    func refused() throws {
        let seen = Self.seen(during: Self.report([2, 2], failing: ["503", "429", "503"]))
        #expect(!Self.hold(seen.victimIsUnharmed))
        #expect(seen.victimIsAnswered.what.contains("(1 × 429, 2 × 503)"))
        #expect(SiegeResult(seen, seen.victimIsUnharmed).broken.count == 1)
    }

    @Test("A phase without any request is no success")
    func silence() {
        #expect(!Self.hold(Self.seen(during: Self.report([])).victimIsUnharmed))
        #expect(!Self.hold(Self.seen(idle: Self.report([])).victimP99(below: 100)))
        #expect(!Self.seen().victimDid(.connect).isReached)
        #expect(Self.seen().victimDid(.page).isReached)
    }

    @Test("Work that is not the usual counts for itself, and its failures count like any other")
    func otherWork() {
        let report = VictimRecord.report([
            .init(work: .page, answer: "200", microseconds: 2000),
            .init(work: .longPoll, answer: "200", microseconds: 1_000_000),
            .init(work: .watch, answer: "503", microseconds: 3000),
        ])
        #expect(report.latency?.max ?? 0 < 3)
        #expect(report.latencyOf["longPoll"]?.p50 ?? 0 > 990)
        #expect(report.requests == 3)
        #expect(report.failures == ["503": 1])
    }

    @Test(
        "Memory comes back to a fifth more at most, and grows within its bound",
        arguments: [(100, 300, 119, true), (100, 300, 121, false), (100, 301, 100, false)])
    func memory(_ before: Int, _ peak: Int, _ settled: Int, _ isFine: Bool) {
        let seen = Self.seen(memory: (before, peak, settled))
        #expect(
            Self.hold([
                seen.memoryReturns(of: "gateway"),
                seen.memoryGrows(of: "gateway", atMost: 200 << 20),
            ]) == isFine)
    }

    @Test("A refusal says when to come back; a fault is never right")
    func refusals() {
        let record = AttackRecord()
        record.answered(AttackAnswer(status: 503, retryAfter: 1), after: .seconds(1))
        record.answered(AttackAnswer(status: 200), after: .seconds(1))
        #expect(Self.hold(Self.seen(attack: record.report).refusalsAreClean))
        record.answered(AttackAnswer(status: 429), after: .seconds(1))
        #expect(!Self.hold(Self.seen(attack: record.report).refusalsAreClean))
        #expect(record.report.withoutRetryAfter == 1)
        let faults = AttackReport(answers: ["500": 1, "503": 4])
        #expect(faults.faults == 1)
        #expect(!Self.hold(Self.seen(attack: faults).refusalsAreClean))
    }

    @Test("Uploads that wait for a locked log give up in time, whether they were told or not")
    func waits() {
        func attack(_ answer: (AttackRecord) -> Void) -> SiegeObservation {
            let record = AttackRecord()
            answer(record)
            var report = record.report
            report.figures[LockedLogAttack.limit] = 3000
            return Self.seen(attack: report)
        }
        let refused = AttackAnswer(status: 503, retryAfter: 1)
        let required = LockedLogAttack().requirements
        #expect(Self.hold(required(attack { $0.answered(refused, after: .seconds(3)) })))
        #expect(!Self.hold(required(attack { $0.answered(refused, after: .seconds(5)) })))
        #expect(
            !Self.hold(
                required(
                    attack {
                        $0.answered(refused, after: .seconds(3))
                        $0.cut(after: .seconds(5))
                    })))
        // Nothing gave up: nothing was locked.
        #expect(!Self.hold(required(attack { _ in })))
    }

    @Test("A figure that is missing is no success")
    func figures() {
        func holds(_ figures: [String: Double]) -> Bool {
            Self.hold(
                Self.seen(attack: AttackReport(figures: figures))
                    .figure("p50", "many", to: "one", .atMost(1.3)))
        }
        #expect(holds(["many": 13, "one": 10]))
        #expect(!holds(["many": 14, "one": 10]))
        #expect(!holds(["many": 13]))
    }

    @Test("An attacker that took more than a quarter of the machine proves nothing")
    func attacker() {
        #expect(SiegeResult(Self.seen(generator: 5), []).holds)
        #expect(!SiegeResult(Self.seen(generator: 5.2), []).holds)
    }

    @Test("A process that ended fails every attack: its successor has little memory")
    func ended() {
        var seen = Self.seen()
        #expect(SiegeResult(seen, []).holds)
        seen.ended = 1
        #expect(!SiegeResult(seen, []).holds)
    }

    @Test("Attacks have names of their own, which --only takes")
    func names() {
        #expect(Set(Siege.ids).count == Attacks.all.count)
        #expect(Siege.list.count == Attacks.all.count)
    }

    @Test(
        "The tables hold requirements, both users and the processes; the JSON reads back the same")
    func report() throws {
        let seen = Self.seen(during: Self.report([2, 2], failing: ["503"]))
        var report = SiegeReport(machine: ReportTests.machine, seconds: 10, settings: ["A": "1"])
        report.results = [SiegeResult(seen, seen.victimIsUnharmed)]
        report.troubles["another"] = "it could not be run"
        let text = report.markdown
        #expect(text.contains("| an attack | other user: requests that failed (1 × 503) |"))
        #expect(text.contains("| attack | during | 3 |"))
        #expect(text.contains("| attack | gateway | 100 MB | 100 MB | 100 MB | 30 | 30 | 30 |"))
        #expect(text.contains("`A = 1`"))
        #expect(text.contains("- another: it could not be run"))
        #expect(report.text.contains("NO"))
        #expect(report.broken.count == 2)
        let data = try report.json()
        #expect(try JSONDecoder().decode(SiegeReport.self, from: data).json() == data)
    }
}
