import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import ServiceKit

/// The `ReadBootstrap` call: where the caller's device stands.
struct ReadBootstrap: Sendable {
    let pool: PostgresPool

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
        var bindings = Bindings()
        bindings.bind(user.value)
        bindings.bind(device.value)
        let command = Command(DownloadStatements.readBootstrap, bindings)
        let row = try await pool.withConnection(deadline: deadline) { connection in
            try await connection.run(command, deadline: deadline)
        }
        guard try !row.bool(0, 5) else { throw RPCFailure.deviceRevoked }
        var reply = ReadBootstrapReply()
        reply.epoch = try row.string(0, 0)
        reply.highestServerSeq = try row.int64(0, 1)
        reply.floor = try row.int64(0, 2)
        reply.knownSource = try row.bool(0, 3)
        // An id below 1 is a device's own invention: counting goes on from 1.
        reply.nextChangeID = try Self.next(after: row.int64(0, 4))
        return reply
    }

    private static func next(after highest: Int64) -> Int64 {
        highest == .max ? .max : max(0, highest) + 1
    }
}
