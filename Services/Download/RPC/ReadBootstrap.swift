import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar

/// The `ReadBootstrap` call: where the caller's device stands.
struct ReadBootstrap: Sendable {
    let pool: PostgresPool
    /// Tells which tables callers may read; nil tells nothing of them.
    var source: CatalogSource?
    var scopes = ScopeIDs()

    func callAsFunction(
        _ request: ReadBootstrapRequest, _ context: CallContext
    ) async throws -> RPCReply<ReadBootstrapReply> {
        let caller = try context.requiredCaller()
        do {
            var reply = try await read(
                UserID(caller.user), DeviceID(caller.device), context.deadline,
                pair: HistoryPair(told: request.historySeq, request.historyTag),
                tellsHistory: request.tellsHistory)
            if let source, !request.readable.isEmpty {
                let caller = Caller(caller)
                let catalog = try await source.catalog(
                    for: caller, told: request.readable, by: context.deadline)
                reply.readable = catalog.readableTables(to: caller).fingerprint
            }
            return RPCReply(reply)
        } catch let error as PostgresError {
            throw DatabaseFailures.download.failure(of: error)
        }
    }

    /// A device that knows another history is not refused: the answer says so.
    ///
    /// - Parameters:
    ///   - pair: the pair that the device sent.
    ///   - tellsHistory: whether the change at the log's end is asked for.
    /// - Throws: `RPCFailure.deviceRevoked`; `PostgresError`.
    func read(
        _ user: UserID, _ device: DeviceID, _ deadline: ContinuousClock.Instant,
        pair: HistoryPair? = nil, tellsHistory: Bool = false
    ) async throws -> ReadBootstrapReply {
        let (row, history) = try await scopes.read(of: user, from: pool, deadline) {
            connection, scope in
            let statement = DownloadStatements.ReadBootstrap(scope: scope, device: device)
            var pipeline = Pipeline()
            pipeline.add(DownloadStatements.begin)
            let asked = pipeline.add(statement)
            let history =
                pair != nil || tellsHistory
                ? pipeline.add(DownloadStatements.ReadHistory(scope: scope, pair: pair)) : nil
            pipeline.add(DownloadStatements.commit)
            let results = try await connection.run(pipeline, deadline: deadline)
            let row = try results[asked].one()
            guard row.isUsers || scope == nil else {
                return nil as (DownloadStatements.ReadBootstrap.Row, LogHistory?)?
            }
            return (row, try history.map { try results[$0].one() })
        }
        guard !row.isRevoked else { throw RPCFailure.deviceRevoked }
        var reply = ReadBootstrapReply()
        reply.epoch = row.state.epoch
        reply.highestServerSeq = row.state.head
        reply.floor = row.state.floor
        reply.knownSource = row.isKnown
        // An id below 1 is a device's own invention: counting goes on from 1.
        reply.nextChangeID = Self.next(after: row.highestChangeID)
        guard let history else { return reply }
        // A standby that cannot judge says nothing; the next request is answered by the primary.
        if let finding = try? history.judge(pair) { reply.history = finding.word }
        if let end = history.pair(at: row.state.head) {
            reply.historySeq = end.sequence
            reply.historyTag = end.tag
        }
        return reply
    }

    private static func next(after highest: Int64) -> Int64 {
        highest == .max ? .max : max(0, highest) + 1
    }
}
