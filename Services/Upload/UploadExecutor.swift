import DatabaseKit
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Synchronization
import Telemetry
import Waiting

/// What a caller asks of an upload in addition to its changes.
struct UploadOptions: Sendable {
    /// All changes or none.
    var isAtomic = false
    /// The history that the device's versions belong to; nil when it did not say.
    var epoch: String?
    /// What the device knows of that history; nil when it did not say.
    var pair: HistoryPair?
    var format = BodyFormat.json

    /// Whether the answer tells the last change. Older clients do not ask.
    var tellsHistory: Bool { epoch != nil || pair != nil }
}

/// Takes an upload from its bytes to its answer.
package final class UploadExecutor: Sendable {
    /// How often a transaction is tried before the caller is asked to come back.
    static let maximumAttempts = 6
    /// How often a transaction is tried before rows that somebody else holds are postponed.
    private static let maximumLockAttempts = 4
    /// The pauses between attempts. They are spread widely: transactions that met in a deadlock
    /// must not meet again.
    private static let backoff = Backoff(
        first: .milliseconds(20), longest: .milliseconds(320), steadyShare: 0.2)

    let pool: PostgresPool
    private let source: CatalogSource
    private let limits: WireLimits
    let timeouts: UploadTimeouts
    let quotas: Quotas
    let queue: UploadQueue
    private let prepared = Mutex<BusinessStatements?>(nil)
    let scopes = ScopeIDs()
    let groups: UploadGroups
    private let attempts: UploadAttempts

    /// - Parameter configuration: names the bounds of the queue and the timeouts.
    init(
        pool: PostgresPool, source: CatalogSource, limits: WireLimits,
        _ configuration: Configuration, metrics: MetricsRegistry = MetricsRegistry()
    ) throws(ConfigurationError) {
        self.pool = pool
        self.source = source
        self.limits = limits
        timeouts = try UploadTimeouts(configuration)
        quotas = try Quotas(configuration)
        queue = try UploadQueue(configuration)
        queue.report(to: metrics)
        groups = UploadGroups(metrics)
        attempts = UploadAttempts(metrics)
    }

    /// Waits for the upload's turn; then reads, judges, decides and writes.
    ///
    /// - Parameter trouble: called with PostgreSQL's error, which the caller does not get.
    /// - Throws: `RPCFailure` when the request as a whole cannot be answered: then nothing was
    ///   kept, or the outcome of the commit is unknown and a repeat of the request finds it out.
    func upload(
        _ body: ByteBuffer, from caller: CallerIdentity, _ options: UploadOptions = .init(),
        deadline: ContinuousClock.Instant, trouble: (PostgresError) -> Void = { _ in }
    ) async throws -> AnsweredUpload {
        let upload = try queued(body, from: caller, options, deadline: deadline)
        let isLong = body.readableBytes > Self.bytesOnEventLoop
        return try await withTaskExecutorPreference(isLong ? globalConcurrentExecutor : nil) {
            try await submit(upload, trouble)
        }
    }

    /// Bytes of an upload that is read and planned on the event loop that it came by, which takes
    /// about a millisecond. Larger ones would hold up the loop's other calls, and its answers to
    /// pings: the gateway gives up a service that does not answer them. Smaller ones cost less
    /// where they are.
    private static let bytesOnEventLoop = 128 << 10

    /// An upload that has room in the queue.
    func queued(
        _ body: ByteBuffer, from caller: CallerIdentity, _ options: UploadOptions,
        deadline: ContinuousClock.Instant
    ) throws(RPCFailure) -> QueuedUpload {
        let user = UserID(caller.user)
        let author = ChangeAuthor.caller(Caller(caller))
        return QueuedUpload(
            user: user, device: DeviceID(caller.device), roles: caller.roles, options: options,
            deadline: deadline, latestStart: latestStart(deadline), mayShare: true,
            reading: BatchReading { [limits] schema throws(UndecodableUpload) in
                try UploadBatch(
                    body, format: options.format, author: author, schema: schema,
                    limits: limits)
            },
            bytes: try queue.admit(body, of: user))
    }

    /// Judges a refused change again, decides and writes, as the upload of its own device.
    ///
    /// Policies of the team's tables see the roles that the device's token had.
    ///
    /// - Throws: as `upload` does.
    func retry(
        _ failure: RecordedFailure, deadline: ContinuousClock.Instant
    ) async throws -> UploadResult {
        let user = failure.place.user
        let upload = QueuedUpload(
            user: user, device: failure.place.device, roles: failure.roles,
            options: UploadOptions(), deadline: deadline, latestStart: latestStart(deadline),
            mayShare: false,
            reading: BatchReading { [limits] schema throws(UndecodableUpload) in
                UploadBatch(retrying: failure, schema: schema, limits: limits)
            },
            bytes: try queue.admit(ByteBuffer(string: failure.payload), of: user))
        return try await submit(upload) { _ in }.result
    }

    private func latestStart(_ deadline: ContinuousClock.Instant) -> ContinuousClock.Instant {
        min(deadline, .now + .milliseconds(timeouts.scopeLock))
    }

    private func submit(
        _ upload: QueuedUpload, _ trouble: (PostgresError) -> Void
    ) async throws -> AnsweredUpload {
        do {
            // Refused before it is parsed if the queue is already full.
            guard !pool.isFull else { throw PostgresError(.poolExhausted) }
            return try await queue.submit(
                upload, prepare: { [self] in await read(upload) },
                together: { [self] group in
                    await write(group.requests) { group.answer($0, $1) }
                },
                write: { try await write($0) })
        } catch let error as UndecodableUpload where error.isTooLarge {
            throw RPCFailure(.tooLarge, code: "payload_too_large", message: error.reason)
        } catch let error as UndecodableUpload {
            throw RPCFailure(
                .invalidArgument, code: "invalid_request",
                message: "Failed to parse upload request: \(error.reason)")
        } catch let error as PostgresError {
            trouble(error)
            throw error.isOfScopeLock ? .userIsBusy : DatabaseFailures.upload.failure(of: error)
        }
    }

    /// Reads an upload before its turn. What stands in its way is met again at its turn.
    ///
    /// - Returns: what it brings to a group; nil if it is written alone.
    private func read(_ upload: QueuedUpload) async -> FairQueue.Load? {
        // The wait for a catalog is not bounded by the upload's.
        guard source.known != nil, let statements = try? await preparedStatements(),
            let batch = try? upload.reading.batch(for: statements.schema)
        else { return nil }
        return load(of: upload, batch)
    }

    /// Writes an upload in a transaction of its own.
    func write(_ upload: QueuedUpload) async throws -> AnsweredUpload {
        let statements = try await preparedStatements()
        let batch = try upload.reading.batch(for: statements.schema)
        do {
            // It may have come back.
            if batch.concernsGoneTables { throw OutdatedSchema() }
            return (batch, try await transact(batch, statements, upload))
        } catch is OutdatedSchema {
            attempts.count(.schema)
            _ = try await source.refresh()
            let statements = try await preparedStatements()
            let batch = try upload.reading.batch(for: statements.schema)
            return (batch, try await transact(batch, statements, upload, trustsSchema: true))
        }
    }

    /// The catalog, which was read seconds ago, may differ from PostgreSQL's in a table or column.
    private struct OutdatedSchema: Error {}

    /// What the attempts at an upload so far have shown.
    private struct Findings {
        var isolates: Bool
        var isRepeated = false
        var unreadable = UnreadableParents()
        var ends: SessionEnds
        /// It is one of those that may wait for their log.
        var waitsForLog = false
        var backoff = UploadExecutor.backoff
    }

    /// - Parameter trustsSchema: whether errors about names and types are the row's fault, or ours.
    private func transact(
        _ batch: UploadBatch, _ statements: BusinessStatements, _ upload: QueuedUpload,
        trustsSchema: Bool = false
    ) async throws -> UploadResult {
        var found = Findings(
            isolates: batch.hasRefusedRows, ends: SessionEnds(from: .now, until: upload.deadline))
        defer { if found.waitsForLog { queue.logWaits.leave() } }
        while true {
            do {
                return try await attempt(batch, statements, upload, found)
            } catch let end as SessionEnd {
                attempts.count(.session)
                found.isRepeated = true
                found.isolates = true
                guard end.range.count == 1, await !keepsSessions(until: upload.deadline) else {
                    found.ends.record(end, now: .now)
                    try await Task.sleep(for: SessionEnds.pause)
                    continue
                }
                // Somebody ends sessions that write nothing, too: no row is to blame.
                guard found.backoff.failures + 1 < Self.maximumAttempts else {
                    throw PostgresError(.connectionLost)
                }
                found.ends = SessionEnds(from: .now, until: upload.deadline)
                try await Task.sleep(for: found.backoff.fail(jitter: .random(in: 0...1)))
            } catch let error as PostgresError {
                if error.isOfScopeLock, !found.waitsForLog,
                    found.isRepeated || .now < upload.latestStart, queue.logWaits.enter()
                {
                    found.waitsForLog = true
                    continue
                }
                found.isRepeated = true
                if !trustsSchema, Self.mayBeOutdated(error.sqlState) { throw OutdatedSchema() }
                if found.unreadable.record(error, statements) {
                    attempts.count(.parents)
                    found.isolates = true
                    continue
                }
                if !found.isolates, let refusal = RowRefusal(error) {
                    // The transaction that holds the row may wait for this user's log. The upload
                    // releases it, and retries a few times before it postpones the row.
                    let isWorthWaiting =
                        refusal.isWorthRepeating && error.isTransient
                        && found.backoff.failures + 1 < Self.maximumLockAttempts
                    if !isWorthWaiting {
                        attempts.count(.row)
                        found.isolates = true
                        continue
                    }
                }
                // A caller that waited for a connection or for its user's lock in vain does not
                // wait again: others would wait longer for theirs.
                guard error.isTransient, error.kind != .poolExhausted, !error.isUnreachable,
                    !error.isOfScopeLock, found.backoff.failures + 1 < Self.maximumAttempts,
                    .now < upload.deadline
                else { throw error }
                attempts.count(.trouble)
                // PostgreSQL does not signal the end of a failover, and devices that failed
                // together must not come back together.
                try await Task.sleep(for: found.backoff.fail(jitter: .random(in: 0...1)))
            }
        }
    }

    /// Whether a session that does nothing lives on for a moment.
    private func keepsSessions(until deadline: ContinuousClock.Instant) async -> Bool {
        do {
            try await pool.withConnection(deadline: deadline) { connection in
                try await connection.execute(
                    script: "SELECT pg_sleep(\(SessionEnds.secondsOfRest))", deadline: deadline)
            }
            return true
        } catch {
            return false
        }
    }

    private func attempt(
        _ batch: UploadBatch, _ statements: BusinessStatements, _ upload: QueuedUpload,
        _ found: Findings
    ) async throws -> UploadResult {
        try await pool.withConnection(deadline: upload.deadline) { connection in
            if batch.mayRunTriggers { connection.expectChangedSettings() }
            let transaction = UploadTransaction(
                connection: connection, scopes: scopes, upload: upload, batch: batch,
                statements: statements, timeouts: timeouts, isRepeated: found.isRepeated,
                logWait: found.waitsForLog ? nil : queue.logWaits.firstWait,
                unreadable: found.unreadable, ends: found.ends, quotas: quotas)
            var result =
                found.isolates ? try await transaction.isolating() : try await transaction.direct()
            result.isPlain = !found.isolates && found.backoff.failures == 0
            return result
        }
    }

    private static func mayBeOutdated(_ state: SQLState?) -> Bool {
        // A missing privilege is of class 42, too, and is missing whatever the catalog says.
        if state == .insufficientPrivilege { return false }
        return state?.errorClass == "42" || state == UnseenColumns.state
    }

    /// The catalog prepared for uploads, with the statements built for it so far. Prepared again
    /// only after the catalog was read again.
    func preparedStatements() async throws -> BusinessStatements {
        let catalog = try await source.catalog()
        return prepared.withLock { prepared in
            if let prepared, prepared.schema.catalog.generation == catalog.generation {
                return prepared
            }
            let fresh = BusinessStatements(UploadSchema(catalog: catalog))
            prepared = fresh
            return fresh
        }
    }
}

extension PostgresError {
    /// Somebody else held the user's log for longer than an upload may wait.
    var isOfScopeLock: Bool {
        sqlState == .lockNotAvailable
            && [
                UploadStatements.LockScope.statement.name,
                UploadStatements.LockScopeOfPair.statement.name,
            ].contains(statementName)
    }
}
