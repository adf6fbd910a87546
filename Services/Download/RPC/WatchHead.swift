import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit

/// The `WatchHead` call: tells of each growth of the user's log, until the caller goes away.
struct WatchHead: Sendable {
    /// How often a watch looks whether its device may still read, when nothing happens.
    static let checkInterval: Duration = .seconds(20)

    let reader: PageReader
    let heads: ScopeHeads
    let logger: Logger

    func callAsFunction(
        _ request: WatchHeadRequest, _ context: CallContext,
        _ parts: RPCStreamWriter<WatchHeadReply>
    ) async throws {
        let caller = try context.requiredCaller()
        let (user, device) = (UserID(caller.user), DeviceID(caller.device))
        let epoch = request.epoch.isEmpty ? nil : request.epoch
        var cursor = CursorCheck(after: max(0, request.after), epoch: epoch)
        var told: Sequence64?
        while true {
            let reading = try await scope(user, device, cursor, context)
            try cursor.check(reading)
            let scope = reading.state
            // Later the device reads on by itself: only the history must stay the same.
            cursor = CursorCheck(after: 0, epoch: epoch)
            if told != scope.head {
                var reply = WatchHeadReply()
                reply.highestServerSeq = scope.head
                try await parts.write(reply)
                told = scope.head
            }
            let check = ContinuousClock.now + Self.checkInterval
            if try await !heads.wait(for: user, beyond: scope.head, until: check), .now < check {
                return  // The replica is going down: the gateway watches elsewhere.
            }
        }
    }

    private func scope(
        _ user: UserID, _ device: DeviceID, _ cursor: CursorCheck, _ context: CallContext
    ) async throws -> ScopeReading {
        if let known = heads.known(user, for: device), !cursor.isBelowFloor(of: known) {
            return ScopeReading(state: known, hydratedFrom: nil)
        }
        let asked = ContinuousClock.now
        do {
            let reading = try await read(
                user, device, by: min(context.deadline, asked + .seconds(10)))
            heads.learn(reading.state, of: user, asked: asked)
            return reading
        } catch let error as PostgresError {
            logger.warning(
                "a watch could not read its user's last sequence",
                metadata: .fields([.requestID: "\(context.requestID)", .error: "\(error)"]))
            throw DatabaseFailures.download.failure(of: error)
        }
    }

    /// In a task of its own, which ends: one that has read keeps the stack it needed for as long as it waits.
    private func read(
        _ user: UserID, _ device: DeviceID, by deadline: ContinuousClock.Instant
    ) async throws -> ScopeReading {
        try await withThrowingTaskGroup(of: ScopeReading.self) { group in
            group.addTask { try await reader.readScope(user, device, deadline: deadline) }
            guard let reading = try await group.next() else { throw CancellationError() }
            return reading
        }
    }
}
