import Foundation
import OperatorKit
import Postgres
import SeededRandom

/// The writing half: devices, the back end, the bystander, and what strikes them.
struct GapWriting: Sendable {
    /// What was written.
    struct Written: Sendable {
        var user: [Writer.Tally] = []
        var bystander: [Writer.Tally] = []
        var strikes: [Chaos.Strike: Int] = [:]
        var elapsed: Duration = .zero
    }

    private enum Part: Sendable {
        case user(Int, Writer, Writer.Tally)
        case bystander(Int, Writer, Writer.Tally)
        case backEnd
        case strikes([Chaos.Strike: Int])
    }

    private let plan: GapCheck.Plan
    private let cast: GapCast
    private let stack: StackAddress
    private let say: @Sendable (String) -> Void

    init(
        _ plan: GapCheck.Plan, _ cast: GapCast, _ stack: StackAddress,
        _ say: @escaping @Sendable (String) -> Void
    ) {
        self.plan = plan
        self.cast = cast
        self.stack = stack
        self.say = say
    }

    /// Writes until there are enough changes, then the last one of each user, whose place in the log the readers
    /// know beforehand: it is the end, and they must learn of it.
    func run() async throws -> Written {
        let start = ContinuousClock.now
        var (written, user, bystander) = try await writeAll()
        written.elapsed = .now - start
        let heads = try await withConnection(to: stack.database) { connection in
            let server = ServerSide(connection: connection)
            return (
                try await server.lastSequence(of: cast.user),
                try await server.lastSequence(of: cast.bystander)
            )
        }
        cast.progress.finish(head: heads.0 + 1)
        cast.bystanderProgress.finish(head: heads.1 + 1)
        try await user.close(&written.user[0])
        try await bystander.close(&written.bystander[0])
        say(
            "  all is written: \(heads.0 + 1) changes; readers are catching up, "
                + cast.progress.slowestReader)
        return written
    }

    /// - Returns: what was written, and each user's first device.
    private func writeAll() async throws -> (Written, Writer, Writer) {
        let progress = cast.progress
        let enough = plan.changes
        let isEnough: @Sendable () -> Bool = { progress.changes >= enough }
        return try await withThrowingTaskGroup(of: Part.self) { group in
            for (index, writer) in cast.writers.enumerated() {
                group.addTask {
                    var writer = writer
                    let tally = try await writer.run(until: isEnough)
                    return .user(index, writer, tally)
                }
            }
            for (index, writer) in cast.bystanders.enumerated() {
                group.addTask {
                    var writer = writer
                    let tally = try await writer.run(until: isEnough)
                    return .bystander(index, writer, tally)
                }
            }
            group.addTask {
                var backEnd = BackEnd(
                    database: stack.database, users: [cast.user, cast.bystander],
                    writers: plan.writers, progress: progress,
                    random: SeededGenerator(seed: plan.seed &+ 1))
                try await backEnd.run(until: isEnough)
                return .backEnd
            }
            if plan.kills {
                group.addTask {
                    var chaos = Chaos(
                        stack: stack, changes: enough, progress: progress,
                        random: SeededGenerator(seed: plan.seed &+ 2))
                    return .strikes(try await chaos.run(until: isEnough))
                }
            }
            return try await collect(&group)
        }
    }

    private func collect(
        _ group: inout ThrowingTaskGroup<Part, any Error>
    ) async throws -> (Written, Writer, Writer) {
        var written = Written(
            user: cast.writers.map { Writer.Tally(device: $0.device.name) },
            bystander: cast.bystanders.map { Writer.Tally(device: $0.device.name) })
        var user = cast.writers[0]
        var bystander = cast.bystanders[0]
        for try await part in group {
            switch part {
            case .user(let index, let writer, let tally):
                written.user[index] = tally
                if index == 0 { user = writer }
            case .bystander(let index, let writer, let tally):
                written.bystander[index] = tally
                if index == 0 { bystander = writer }
            case .backEnd: break
            case .strikes(let hits): written.strikes = hits
            }
        }
        return (written, user, bystander)
    }
}
