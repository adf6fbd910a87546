import LogFields
import Logging
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Telemetry
import Traces

/// The `PushChanges` call: a body of changes in, a body of statuses out, one log line about both.
struct PushChanges: Sendable {
    let executor: UploadExecutor
    let announcer: HeadAnnouncer
    let metrics: UploadMetrics
    let tables: TableTroubles
    let reports: DeviceReportQueue
    let conflicts: ConflictMemory
    let logger: Logger

    func callAsFunction(
        _ request: PushChangesRequest, _ body: ByteBuffer, _ context: CallContext
    ) async throws -> RPCReply<PushChangesReply> {
        let caller = try context.requiredCaller()
        let start = ContinuousClock.now
        if !request.report.isEmpty { reports.add(request.report, of: caller) }
        var trouble: PostgresError?
        do {
            let options = UploadOptions(
                isAtomic: request.atomic, epoch: request.epoch.isEmpty ? nil : request.epoch,
                pair: request.pair, format: request.asProtobuf ? .protobuf : .json)
            let (batch, result) = try await executor.upload(
                body, from: caller, options, deadline: context.deadline, trouble: { trouble = $0 })
            if result.mayBeNews {
                await announcer.announce(
                    result.highestSequence, result.end, of: UserID(caller.user),
                    isNew: result.sequences != nil)
            }
            if result.hasHole { reportHole(request, caller, context) }
            let tally = OutcomeTally(result)
            if tally.conflicts > 0 {
                conflicts.add(result, of: batch, from: caller.user, caller.device)
            }
            metrics.count(result, of: batch, after: .now - start)
            tables.record(result.blockedTables)
            log(tally, result, caller, context, .now - start)
            let answer = UploadAnswer(result: result, changeIDs: batch.changeIDs)
            var reply = tally.reply(result)
            if options.tellsHistory, let end = result.end { reply.tell(end) }
            return RPCReply(
                reply,
                body: request.asProtobuf ? answer.encodedAsProtobuf() : answer.encoded())
        } catch {
            metrics.countFailure(after: .now - start)
            logger.warning(
                "upload failed", metadata: failure(error, trouble, caller, context, .now - start))
            throw error
        }
    }

    /// What an operator needs to find the cause: PostgreSQL's code, the statement and the table, but
    /// no value.
    private func failure(
        _ error: any Error, _ trouble: PostgresError?, _ caller: CallerIdentity,
        _ context: CallContext, _ duration: Duration
    ) -> Logger.Metadata {
        var metadata: Logger.Metadata = .fields([
            .requestID: .string(context.requestID), .user: .string(userHash(caller.user)),
            .source: .string(caller.device), .error: "\(error)",
            .milliseconds: .stringConvertible(duration.milliseconds),
        ])
        guard let trouble else { return metadata }
        metadata[.cause] = "\(trouble)"
        if let server = trouble.serverError {
            metadata[.sqlState] = "\(server.sqlState.rawValue)"
            if let schema = server.schema, let table = server.table {
                metadata[.table] = "\(schema).\(table)"
            }
        }
        return metadata
    }

    /// Changes are missing that compaction did not remove: devices that know them are served all
    /// the same.
    private func reportHole(
        _ request: PushChangesRequest, _ caller: CallerIdentity, _ context: CallContext
    ) {
        metrics.countHole()
        logger.error(
            "the log lacks a change that a device knows of; oversync verify names it",
            metadata: .fields([
                .requestID: .string(context.requestID), .user: .string(userHash(caller.user)),
                .source: .string(caller.device),
                .sequences: .stringConvertible(request.historySeq),
            ]))
    }

    private func log(
        _ tally: OutcomeTally, _ result: UploadResult, _ caller: CallerIdentity,
        _ context: CallContext,
        _ duration: Duration
    ) {
        var metadata: Logger.Metadata = .fields([
            .requestID: .string(context.requestID), .user: .string(userHash(caller.user)),
            .source: .string(caller.device), .changes: .stringConvertible(result.outcomes.count),
            .applied: .stringConvertible(tally.applied),
            .duplicates: .stringConvertible(result.duplicates),
            .conflicts: .stringConvertible(tally.conflicts),
            .invalid: .stringConvertible(tally.invalid),
            .materializeErrors: .stringConvertible(tally.materializeErrors),
            .milliseconds: .stringConvertible(duration.milliseconds),
        ])
        if let sequences = result.sequences {
            metadata[.sequences] = "\(sequences.lowerBound)-\(sequences.upperBound)"
        }
        if let trace = context.trace { metadata[.traceparent] = .string(trace.traceparent) }
        logger.info("upload", metadata: metadata)
    }
}

/// How many changes came to what.
struct OutcomeTally {
    private(set) var applied = 0
    private(set) var conflicts = 0
    private(set) var invalid = 0
    private(set) var materializeErrors = 0

    init(_ result: UploadResult) {
        for outcome in result.outcomes {
            switch outcome {
            case .applied: applied += 1
            case .conflict: conflicts += 1
            case .invalid, .aborted: invalid += 1
            case .materializeError: materializeErrors += 1
            }
        }
    }

    func reply(_ result: UploadResult) -> PushChangesReply {
        var reply = PushChangesReply()
        reply.applied = UInt32(clamping: applied)
        reply.duplicates = UInt32(clamping: result.duplicates)
        reply.conflicts = UInt32(clamping: conflicts)
        reply.invalid = UInt32(clamping: invalid)
        reply.materializeErrors = UInt32(clamping: materializeErrors)
        reply.firstSeq = result.sequences?.lowerBound ?? 0
        reply.lastSeq = result.sequences?.upperBound ?? 0
        return reply
    }
}

extension PushChangesRequest {
    /// What the device knows of the history; nil when it did not say.
    fileprivate var pair: HistoryPair? {
        historySeq > 0 ? HistoryPair(sequence: historySeq, tag: historyTag) : nil
    }
}

extension PushChangesReply {
    fileprivate mutating func tell(_ end: HistoryPair) {
        historySeq = end.sequence
        historyTag = end.tag
    }
}
