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
    var scopes = ScopeIDs()

    func callAsFunction(_ context: CallContext) async throws -> RPCReply<ReadBootstrapReply> {
        let caller = try context.requiredCaller()
        do {
            return RPCReply(
                try await read(UserID(caller.user), DeviceID(caller.device), context.deadline))
        } catch let error as PostgresError {
            throw DatabaseFailures.download.failure(of: error)
        }
    }

    /// - Throws: `RPCFailure.deviceRevoked`; `PostgresError`.
    func read(
        _ user: UserID, _ device: DeviceID, _ deadline: ContinuousClock.Instant
    ) async throws -> ReadBootstrapReply {
        let row = try await scopes.read(of: user, from: pool, deadline) { connection, scope in
            let statement = DownloadStatements.ReadBootstrap(scope: scope, device: device)
            let row = try await connection.run(statement, deadline: deadline).one()
            return row.isUsers || scope == nil ? row : nil
        }
        guard !row.isRevoked else { throw RPCFailure.deviceRevoked }
        var reply = ReadBootstrapReply()
        reply.epoch = row.state.epoch
        reply.highestServerSeq = row.state.head
        reply.floor = row.state.floor
        reply.knownSource = row.isKnown
        // An id below 1 is a device's own invention: counting goes on from 1.
        reply.nextChangeID = Self.next(after: row.highestChangeID)
        return reply
    }

    private static func next(after highest: Int64) -> Int64 {
        highest == .max ? .max : max(0, highest) + 1
    }
}
