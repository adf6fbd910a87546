import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar

/// The `WatchHead` call: announces each growth of the user's log until the caller goes away.
struct WatchHead: Sendable {
    /// How often a watch looks whether its device may still read, when nothing happens.
    static let checkInterval: Duration = .seconds(20)

    let reader: PageReader
    let heads: ScopeHeads
    let metrics: DownloadMetrics
    let logger: Logger

    func callAsFunction(
        _ request: WatchHeadRequest, _ context: CallContext,
        _ parts: RPCStreamWriter<WatchHeadReply>
    ) async throws {
        try await follow(request, context) { head in
            var reply = WatchHeadReply()
            reply.highestServerSeq = head
            try await parts.write(reply)
        }
    }

    /// Returns when the replica goes down.
    ///
    /// - Parameter tell: called with the last sequence at first, and whenever it is another one.
    /// - Throws: `RPCFailure` at the end of the device's access or of the history that it knows.
    func follow(
        _ request: WatchHeadRequest, _ context: CallContext,
        _ tell: (Sequence64) async throws -> Void
    ) async throws {
        let caller = try context.requiredCaller()
        let (user, device) = (UserID(caller.user), DeviceID(caller.device))
        let epoch = request.epoch.isEmpty ? nil : request.epoch
        var pair = HistoryPair(told: request.historySeq, request.historyTag)
        let tellsHistory = epoch != nil || pair != nil
        var cursor = CursorCheck(after: max(0, request.after), epoch: epoch)
        var told: Sequence64?
        while true {
            try await expectTables(request.readable, of: Caller(caller), context)
            let reading = try await scope(
                user, device, cursor,
                tellsHistory ? Expected(pair: pair, mayHaveGrown: told != nil) : nil, context)
            try cursor.check(reading)
            let scope = reading.state
            // Older clients learn that the log ends earlier, and go on. A standby proves nothing,
            // as it may lag behind.
            if pair != nil, !reading.isOfStandby, scope.head < told ?? 0 {
                throw RPCFailure.historyForked
            }
            // Later the device reads on by itself: only the history must stay the same.
            cursor = CursorCheck(after: 0, epoch: epoch)
            if tellsHistory { pair = scope.end ?? pair }
            if told != scope.head {
                try await tell(scope.head)
                // The first one tells where the log ends, news or not.
                if let told,
                    let change = await heads.committed(scope.head, after: told, of: user)
                {
                    metrics.count(eventFor: change)
                }
                told = scope.head
            }
            let check = ContinuousClock.now + Self.checkInterval
            let hasNews = try await heads.wait(
                for: user, device, beyond: scope.head, scope.tag, until: check)
            if !hasNews, .now < check {
                return  // The replica is going down: the gateway watches elsewhere.
            }
        }
    }

    /// - Throws: `RPCFailure.tablesChanged` if the caller may read other tables than the device
    ///   says, if it says any.
    private func expectTables(
        _ told: String, of caller: Caller, _ context: CallContext
    ) async throws {
        guard !told.isEmpty, told != ReadableTables.unknown else { return }
        do {
            let latest = min(context.deadline, .now + Self.catalogLimit)
            let catalog = try await reader.source.catalog(for: caller, told: told, by: latest)
            guard catalog.readableTables(to: caller).fingerprint == told else {
                throw RPCFailure.tablesChanged
            }
        } catch let error as PostgresError {
            throw DatabaseFailures.download.failure(of: error)
        }
    }

    /// Longest wait for the catalog.
    private static let catalogLimit: Duration = .seconds(10)

    /// The log that the watch is of.
    private struct Expected {
        /// The pair that the device sent at first; later the last one that it received.
        let pair: HistoryPair?
        /// Whether it may end later by now. The download that follows proves the rest.
        let mayHaveGrown: Bool

        /// Whether what is known of a log is enough to say that it is this one.
        func isProven(by known: ScopeState) -> Bool {
            // Plain SQL leaves no tag.
            guard let end = known.end else {
                return known.head == 0 && pair == nil
                    || mayHaveGrown && known.head > pair?.sequence ?? 0
            }
            guard let pair else { return true }
            return pair == end || mayHaveGrown && end.sequence > pair.sequence
        }
    }

    /// - Parameter expected: nil for older clients, who do not ask for it.
    private func scope(
        _ user: UserID, _ device: DeviceID, _ cursor: CursorCheck, _ expected: Expected?,
        _ context: CallContext
    ) async throws -> ScopeReading {
        if let known = heads.known(user, for: device), !cursor.isBelowFloor(of: known),
            expected?.isProven(by: known) != false
        {
            return ScopeReading(state: known, hydratedFrom: nil)
        }
        let asked = ContinuousClock.now
        do {
            let reading = try await read(
                user, device, expected, by: min(context.deadline, asked + .seconds(10)))
            heads.learn(reading.state, of: user, .admits(device), asked: asked)
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
        _ user: UserID, _ device: DeviceID, _ expected: Expected?,
        by deadline: ContinuousClock.Instant
    ) async throws -> ScopeReading {
        try await withThrowingTaskGroup(of: ScopeReading.self) { group in
            group.addTask {
                try await reader.readScope(
                    user, device, expected?.pair, tellsHistory: expected != nil,
                    deadline: deadline)
            }
            guard let reading = try await group.next() else { throw CancellationError() }
            return reading
        }
    }
}
