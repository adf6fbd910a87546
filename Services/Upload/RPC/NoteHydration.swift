import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Telemetry

/// The `NoteHydration` call: puts on record that the caller's device begins to read at 0, below the
/// log's floor.
struct NoteHydration: Sendable {
    let pool: PostgresPool
    let logger: Logger

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
            _ = try await pool.withConnection(deadline: context.deadline) {
                try await $0.run(command, deadline: context.deadline)
            }
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
