import Model
import Postgres
import Protos

/// The recorded failures.
struct FailureStore: Sendable {
    /// A failure, and how far its row has got without it.
    struct Entry: Sendable {
        let failure: MaterializeFailure
        let rowVersion: RowVersion

        /// The row was written since: there is nothing left to do.
        var isStale: Bool { rowVersion >= failure.attemptedVersion }
    }

    let pool: PostgresPool

    /// Open failures, newest first.
    func list(
        _ request: ListFailuresRequest, deadline: ContinuousClock.Instant
    ) async throws -> [MaterializeFailure] {
        var bindings = Bindings()
        for text in [request.schema, request.table, request.user] { bindings.bind(text) }
        bindings.bind(Int64(0))
        bindings.bind(Int64(request.limit))
        return Self.fitting(try await read(bindings, deadline).map(\.failure))
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
    func failure(_ id: Int64, deadline: ContinuousClock.Instant) async throws -> Entry? {
        var bindings = Bindings()
        for _ in 0..<3 { bindings.bind("") }
        bindings.bind(id)
        bindings.bind(Int64(1))
        return try await read(bindings, deadline).first
    }

    /// Marks a failure resolved if it is, and writes down who tried.
    func close(
        _ id: Int64, isResolved: Bool, by actor: String, outcome: String,
        deadline: ContinuousClock.Instant
    ) async throws {
        var target = Bindings()
        target.bind(id)
        var audit = Bindings()
        for text in [actor, "materialize-failure.retry", "\(id)", outcome] { audit.bind(text) }
        let commands =
            (isResolved ? [Command(FailureStatements.resolve, target)] : [])
            + [Command(FailureStatements.audit, audit)]
        _ = try await pool.withConnection(deadline: deadline) {
            try await $0.run(commands, deadline: deadline)
        }
    }

    private func read(
        _ bindings: Bindings, _ deadline: ContinuousClock.Instant
    ) async throws -> [Entry] {
        let rows = try await pool.withConnection(deadline: deadline) {
            try await $0.run(Command(FailureStatements.list, bindings), deadline: deadline)
        }
        return try (0..<rows.rowCount).map { row in
            var failure = MaterializeFailure()
            failure.id = try rows.int64(row, 0)
            failure.user = try rows.string(row, 1)
            failure.device = try rows.string(row, 2)
            failure.schema = try rows.string(row, 3)
            failure.table = try rows.string(row, 4)
            failure.key = try rows.string(row, 5)
            failure.attemptedVersion = try rows.int64(row, 6)
            failure.operation = try rows.string(row, 7)
            failure.payload = try rows.string(row, 8)
            failure.sourceChangeID = try rows.int64(row, 9)
            failure.sqlstate = try rows.string(row, 10)
            failure.error = try rows.string(row, 11)
            failure.firstSeen = try rows.string(row, 12)
            failure.retryCount = try rows.int32(row, 13)
            return Entry(failure: failure, rowVersion: try rows.int64(row, 14))
        }
    }
}
