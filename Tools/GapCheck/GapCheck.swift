import DevStack
import Foundation
import OperatorKit
import Postgres

/// Promise P3, on a running stack: many devices of one user and a back end write at once, while readers follow by
/// cursor, long poll and watch; in the end each reader must have got every applied change once, in order.
package struct GapCheck: Sendable {
    /// How much of it.
    package struct Plan: Sendable {
        /// Changes of the user, at least.
        package var changes: Int64 = 10_000
        /// Devices of the user that write at once.
        package var writers = 8
        /// Whether processes and connections are killed meanwhile.
        package var kills = false
        package var seed: UInt64 = 1

        package init() {}
    }

    /// When nobody has got on for so long, something hangs.
    private static let patience: Duration = .seconds(60)
    private static let tellEvery: Duration = .seconds(5)

    private let plan: Plan
    private let stack: StackAddress
    private let say: @Sendable (String) -> Void

    package init(_ plan: Plan, stack: StackAddress, say: @escaping @Sendable (String) -> Void) {
        self.plan = plan
        self.stack = stack
        self.say = say
    }

    /// What to start for it: tables of its own, two Download replicas, and no allowance of requests for a user.
    package static func stackPlan(in directory: StackDirectory) -> Stack.Plan {
        var plan = Stack.Plan(
            directory: directory, registrations: GapTables.registrations,
            businessSchema: GapTables.businessSchema)
        plan.port = 0
        plan.downloadReplicas = 2
        plan.environment = ["OVERSYNC_RATE_REQUESTS": "0", "OVERSYNC_RATE_BYTES": "0"]
        return plan
    }

    private enum Event: Sendable {
        case wrote(GapWriting.Written?)
        case read(FeedReader.Report)
        case stuck
        case told
    }

    /// - Throws: when the devices are answered what they must not be, or nothing moves any more.
    package func run() async throws -> GapReport {
        try await stack.withClient { client in
            let cast = try await GapCast(plan, stack, client)
            let start = ContinuousClock.now
            for follower in cast.followers { try await follower.start() }
            let (written, reports) = try await perform(cast)
            let elapsed = ContinuousClock.now - start
            guard let written else {
                throw StackError(
                    "nothing moved for \(Self.patience): \(cast.progress.changes) changes are written, "
                        + cast.progress.slowestReader)
            }
            return try await withConnection(to: stack.database) { connection in
                try await GapReport(
                    cast, written, reports, elapsed: elapsed,
                    server: ServerSide(connection: connection))
            }
        }
    }

    /// Lets all write and read until both are done.
    private func perform(
        _ cast: GapCast
    ) async throws -> (GapWriting.Written?, [FeedReader.Report]) {
        let readers = cast.readers + [cast.bystanderReader]
        return try await withThrowingTaskGroup(of: Event.self) { group in
            for reader in readers {
                group.addTask {
                    var reader = reader
                    return .read(try await reader.run())
                }
            }
            group.addTask {
                do {
                    return .wrote(try await GapWriting(plan, cast, stack, say).run())
                } catch  where Task.isCancelled {
                    return .wrote(nil)
                }
            }
            group.addTask { await isStuck(cast) ? .stuck : .told }
            group.addTask { await tell(cast.progress) }
            var written: GapWriting.Written?
            var reports: [FeedReader.Report] = []
            for try await event in group {
                switch event {
                case .wrote(let all): written = all
                case .read(let report): reports.append(report)
                case .stuck: group.cancelAll()
                case .told: break
                }
                if written != nil, reports.count == readers.count { group.cancelAll() }
            }
            return (
                written,
                readers.compactMap { reader in
                    reports.first { $0.name == reader.name }
                }
            )
        }
    }

    /// Waits until nothing moves any more, or until it is cancelled.
    private func isStuck(_ cast: GapCast) async -> Bool {
        var last: Int64 = -1
        var since = ContinuousClock.now
        while !Task.isCancelled {
            let total = cast.progress.total + cast.bystanderProgress.total
            if total != last { since = .now }
            last = total
            if .now - since > Self.patience { return true }
            try? await Task.sleep(for: .seconds(1))
        }
        return false
    }

    private func tell(_ progress: GapProgress) async -> Event {
        while (try? await Task.sleep(for: Self.tellEvery)) != nil {
            say("  … \(progress.line(of: plan.changes))")
        }
        return .told
    }
}
