import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// The `RetryFailure` call: decides a refused change again, under its own device and change id. If
/// the device sends it too, that is a repeat.
struct RetryFailure: Sendable {
    let store: FailureStore
    let executor: UploadExecutor
    let announcer: HeadAnnouncer
    let administrators: Administrators
    let metrics: UploadMetrics

    func callAsFunction(
        _ request: RetryFailureRequest, _ context: CallContext
    ) async throws -> RPCReply<RetryFailureReply> {
        _ = try administrators.admit(context)
        let attempt = Attempt(id: request.id, origin: try context.origin())
        do {
            guard let failure = try await store.failure(request.id, deadline: context.deadline)
            else {
                throw try await refused(
                    attempt, .notFound, code: "not_found",
                    message: "materialize failure not found", context)
            }
            if try await store.isHeld(request.id, deadline: context.deadline) {
                throw try await refused(
                    attempt, .conflict, code: "retry_in_progress",
                    message: "materialize failure retry is already in progress", context)
            }
            if failure.isStale {
                try await store.close(
                    request.id, isResolved: true, recording: attempt.row(.done, "stale"),
                    deadline: context.deadline)
                return RPCReply(RetryFailureReply(), body: Self.stale(failure.rowVersion))
            }
            // The change commits by itself.
            try await store.record(attempt.row(.begun), deadline: context.deadline)
            let outcome = try await decide(failure, attempt, context)
            return RPCReply(RetryFailureReply(), body: UploadAnswer.status(outcome, changeID: 0))
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
    }

    /// Who tries what, for the audit.
    private struct Attempt {
        let id: Int64
        let origin: AuditOrigin
        let operation = UUID()

        func row(_ outcome: AuditOutcome, _ code: String? = nil) -> AuditEntry {
            AuditEntry(
                .retryFailure, of: "\(id)", by: origin, outcome, code: code, operation: operation)
        }
    }

    /// Records an attempt that cannot begin.
    private func refused(
        _ attempt: Attempt, _ status: RPCStatus, code: String, message: String,
        _ context: CallContext
    ) async throws -> RPCFailure {
        try await store.record(attempt.row(.refused, code), deadline: context.deadline)
        return RPCFailure(status, code: code, message: message)
    }

    private func decide(
        _ failure: RecordedFailure, _ attempt: Attempt, _ context: CallContext
    ) async throws -> ChangeVerdict {
        do {
            let result = try await executor.retry(failure, deadline: context.deadline)
            if result.mayBeNews {
                await announcer.announce(
                    result.highestSequence, result.end, of: failure.place.user,
                    isNew: result.sequences != nil)
            }
            guard let outcome = result.outcomes.first else { throw RPCFailure.internal }
            var isApplied = false
            if case .applied = outcome { isApplied = true }
            try await store.close(
                attempt.id, isResolved: isApplied,
                recording: attempt.row(isApplied ? .done : .refused, outcome.status),
                deadline: context.deadline)
            metrics.countRetry(outcome)
            return outcome
        } catch {
            metrics.countRetry(nil)
            let code = (error as? PostgresError)?.sqlState?.rawValue ?? "\(type(of: error))"
            try? await store.record(attempt.row(.failed, code), deadline: context.deadline)
            throw error
        }
    }

    private static func stale(_ version: RowVersion) -> ByteBuffer {
        let status: JSONDocument = [
            "source_change_id": 0, "status": "applied", "new_server_version": .integer(version),
            "message": "failure was stale; removed",
        ]
        return ByteBuffer(string: status.text + "\n")
    }
}
