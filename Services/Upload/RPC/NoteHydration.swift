import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Telemetry
import Waiting

/// The `NoteHydration` call: puts on record that the caller's device begins to read at 0, below the
/// log's floor.
///
/// The records of one user's devices are few rows: written at once, each would wait for a lock and
/// hold a connection meanwhile. So one of a user is written at a time, and few of all.
struct NoteHydration: Sendable {
    /// Of a pool that uploads need, too.
    private static let limits = FairQueue.Limits(
        turns: 2, turnsPerUser: 1, waiting: 1024, waitingPerUser: 64)
    /// Longest wait for a turn.
    private static let patience: Duration = .seconds(3)

    let pool: PostgresPool
    let logger: Logger
    private let gate = FairGate<Command, Bool>(limits)

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    func callAsFunction(
        _ request: NoteHydrationRequest, _ context: CallContext
    ) async throws -> RPCReply<NoteHydrationReply> {
        let caller = try context.requiredCaller()
        var bindings = Bindings()
        bindings.bind(caller.user)
        bindings.bind(caller.device)
        bindings.bind(request.floor)
        let command = Command(UploadStatements.noteHydration, bindings)
        do {
            let latest = min(context.deadline, .now + Self.patience)
            _ = try await gate.submit(command, of: UserID(caller.user), by: latest) { command in
                try await pool.withConnection(deadline: context.deadline) {
                    _ = try await $0.run(command, deadline: context.deadline)
                }
                return true
            }
        } catch is TurnRefusal {
            throw DatabaseFailures.upload.failure(of: PostgresError(.poolExhausted))
        } catch let error as PostgresError {
            logger.warning(
                "a hydration could not be noted",
                metadata: .fields([
                    .requestID: .string(context.requestID),
                    .user: .string(userHash(caller.user)), .source: .string(caller.device),
                    .error: "\(error)",
                ]))
            throw DatabaseFailures.upload.failure(of: error)
        }
        return RPCReply(NoteHydrationReply())
    }
}
