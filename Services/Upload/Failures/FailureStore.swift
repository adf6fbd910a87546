import Foundation
import Model
import Postgres
import Protos
import Sidecar
import WireJSON

/// The recorded failures.
struct FailureStore: Sendable {
    let pool: PostgresPool

    /// Open failures, newest first. They hold rows of users, so the audit tells who read them.
    func list(
        _ request: ListFailuresRequest, by origin: AuditOrigin, deadline: ContinuousClock.Instant
    ) async throws -> [MaterializeFailure] {
        let asked: JSONDocument = [
            "schema": .string(request.schema), "table": .string(request.table),
            "user": .string(request.user), "limit": .integer(Int64(request.limit)),
        ]
        var pipeline = Pipeline()
        let listed = pipeline.add(
            OpenFailures.List(
                schema: request.schema, table: request.table, user: request.user,
                limit: Int64(request.limit)))
        pipeline.add(
            AuditStatements.Append(
                AuditEntry(.listFailures, of: request.user, by: origin, details: asked)))
        let results = try await pool.withConnection(deadline: deadline) {
            try await $0.run(pipeline, deadline: deadline)
        }
        return Self.fitting(try results[listed].all().map(MaterializeFailure.init))
    }

    /// The first failures, as many as one answer can carry.
    private static func fitting(_ failures: [MaterializeFailure]) -> [MaterializeFailure] {
        var bytes = 0
        return failures.enumerated().prefix { index, failure in
            bytes += failure.payload.utf8.count + failure.error.utf8.count
            return index == 0 || bytes <= WireLimits.payloadBytesPerAnswer
        }.map(\.element)
    }

    /// One failure that is not marked resolved.
    func failure(
        _ id: Int64, deadline: ContinuousClock.Instant
    ) async throws -> RecordedFailure? {
        try await pool.withConnection(deadline: deadline) {
            try await $0.run(OpenFailures.List(id: id), deadline: deadline).first()
        }
    }

    /// Whether another session holds the failure: it is being retried, or somebody locked it by
    /// hand. Waits for nobody.
    func isHeld(_ id: Int64, deadline: ContinuousClock.Instant) async throws -> Bool {
        var bindings = Bindings()
        bindings.bind(id)
        let probe = Command(FailureStatements.probe, bindings)
        do {
            _ = try await pool.withConnection(deadline: deadline) {
                try await $0.run([probe], deadline: deadline)
            }
            return false
        } catch let error as PostgresError where error.sqlState == .lockNotAvailable {
            return true
        }
    }

    /// Marks a failure resolved if it is, and records what came of it.
    ///
    /// - Parameter entry: the audit's last row about the attempt.
    func close(
        _ id: Int64, isResolved: Bool, recording entry: AuditEntry,
        deadline: ContinuousClock.Instant
    ) async throws {
        var target = Bindings()
        target.bind(id)
        let commands =
            (isResolved ? [Command(FailureStatements.resolve, target)] : [])
            + [Command(AuditStatements.Append(entry))]
        _ = try await pool.withConnection(deadline: deadline) {
            try await $0.run(commands, deadline: deadline)
        }
    }

    /// Adds a row to the audit.
    func record(_ entry: AuditEntry, deadline: ContinuousClock.Instant) async throws {
        try await pool.withConnection(deadline: deadline) {
            _ = try await $0.run(AuditStatements.Append(entry), deadline: deadline)
        }
    }
}

extension MaterializeFailure {
    fileprivate init(_ failure: RecordedFailure) {
        self.init()
        id = failure.id
        user = failure.place.user.value
        device = failure.place.device.value
        schema = failure.table.schema
        table = failure.table.table
        key = failure.key
        attemptedVersion = failure.attemptedVersion
        operation = failure.operation
        payload = failure.payload
        sourceChangeID = failure.changeID
        sqlstate = failure.sqlState
        error = failure.error
        firstSeen = failure.firstSeen
        retryCount = failure.retryCount
    }
}
