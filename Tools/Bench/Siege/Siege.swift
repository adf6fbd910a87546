import DevStack
import Foundation
import OperatorKit

/// How attacks are run.
package struct SiegePlan: Sendable {
    /// Seconds of an attack. Some take the time that their limit takes.
    package var seconds = 10.0
    /// Seconds between an attack's end and the last look at the memory.
    package var settleSeconds = 10.0
    /// Seconds after which the gateway must have ended a stream that takes nothing.
    package var stallSeconds = 30.0
    /// Bytes of answers that the gateway may hold for clients that do not read them.
    package var gatewayBudget = 256 << 20
    /// What a user's uploads may wait for each other, in milliseconds: the services' default.
    package var uploadLockMilliseconds = 3000
    /// Users' names, and the keys of their rows, come from it.
    package var seed: UInt64 = 1

    package init() {}

    /// Seconds before anything counts: connections and caches are made.
    static let warmUpSeconds = 1.0
    /// Seconds in which the other user works alone.
    var idleSeconds: Double { max(2, seconds / 2) }
}

/// Attacks by one user on a stack, while another user works: no user can hurt another.
package struct Siege: Sendable {
    private static let sampleEvery: Duration = .milliseconds(500)

    private let plan: SiegePlan

    package init(_ plan: SiegePlan) { self.plan = plan }

    package static let ids = Attacks.all.map(\.id)

    /// One line for each attack: id and work.
    package static let list = Attacks.all.map { attack in
        attack.id.padding(toLength: 20, withPad: " ", startingAt: 0) + attack.work
    }

    /// What to start for an attack.
    ///
    /// - Parameter plan: a stack with the tables of the demonstration.
    package static func stackPlan(_ plan: Stack.Plan, for id: String) -> Stack.Plan {
        var plan = plan
        // Limits are what they are by default: they are what is attacked.
        plan.postgresSettings = Bench.postgresSettings
        plan.businessSchema += UploadAttack.refusingSchema
        let attack = Attacks.all.first { $0.id == id }
        plan.openFilesOf["gateway"] = attack?.gatewayFiles
        plan.environment.merge(attack?.settings ?? [:]) { given, _ in given }
        return plan
    }

    /// Runs one attack.
    ///
    /// - Parameter stack: started by `stackPlan`, and running.
    package func measure(_ id: String, on stack: Stack) async throws -> SiegeResult {
        guard let attack = Attacks.all.first(where: { $0.id == id }) else {
            throw StackError("no such attack: \(id)")
        }
        let field = try await SiegeField(plan, on: stack, attack: id)
        let outcome: Result<SiegeResult, any Error>
        do {
            outcome = .success(try await measure(attack, field))
        } catch {
            outcome = .failure(error)
        }
        try await field.target.shutDown()
        return try outcome.get()
    }

    private func measure(_ attack: any Attack, _ field: SiegeField) async throws -> SiegeResult {
        let assault = try await attack.prepare(field)
        let victim = try await Victim(field, also: attack.alsoByVictim)
        async let working: Void = victim.run()
        var seen: SiegeObservation
        do {
            seen = try await conduct(attack, assault, field, victim.record)
        } catch {
            victim.stop()
            await working
            throw error
        }
        victim.stop()
        await working
        // Not before: what it asked during the attack may have been answered long after.
        seen.idle = victim.record.report(.idle)
        seen.during = victim.record.report(.during)
        seen.after = victim.record.report(.after)
        return SiegeResult(seen, attack.requirements(seen))
    }

    /// Idle, attack, after: what all of them show.
    private func conduct(
        _ attack: any Attack, _ assault: @escaping Assault, _ field: SiegeField,
        _ victim: VictimRecord
    ) async throws -> SiegeObservation {
        try await Task.sleep(for: .seconds(SiegePlan.warmUpSeconds))
        victim.enter(.idle)
        try await Task.sleep(for: .seconds(plan.idleSeconds))
        let processes = field.processes
        let before = field.groups.usage()
        victim.enter(.during)
        let start = ContinuousClock.now
        let (report, peak) = try await watched(field.groups, assault)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        victim.enter(.after)
        var highest = field.groups.usage().since(before)
        highest.raise(to: peak)
        try await Task.sleep(for: .seconds(plan.settleSeconds))
        return SiegeObservation(
            id: attack.id, work: attack.work, seconds: seconds, before: before,
            peak: highest, settled: field.groups.usage(), attack: report,
            ended: processes.subtracting(field.processes).count,
            cores: ProcessInfo.processInfo.activeProcessorCount)
    }

    private enum Part: Sendable {
        case attack(AttackReport)
        case peak(ProcessUsage)
    }

    /// Looks at the processes again and again while the attack runs.
    private func watched(
        _ groups: ProcessGroups, _ assault: @escaping Assault
    ) async throws -> (AttackReport, ProcessUsage) {
        try await withThrowingTaskGroup(of: Part.self) { group in
            group.addTask { .attack(try await assault()) }
            group.addTask { .peak(await Self.peak(of: groups)) }
            var report = AttackReport()
            var peak = ProcessUsage()
            for try await part in group {
                switch part {
                case .attack(let seen):
                    report = seen
                    group.cancelAll()
                case .peak(let seen): peak = seen
                }
            }
            return (report, peak)
        }
    }

    /// The most that processes have until the task is cancelled.
    private static func peak(of groups: ProcessGroups) async -> ProcessUsage {
        var peak = groups.usage()
        while !Task.isCancelled {
            try? await Task.sleep(for: sampleEvery)
            peak.raise(to: groups.usage())
        }
        return peak
    }
}
