import DatabaseKit
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Telemetry

/// The `ReadDigest` call: what a device compares its rows with (promise P8).
struct ReadDigest: Sendable {
    let reader: PageReader
    let turns: DigestTurns
    let metrics: DownloadMetrics
    let logger: Logger

    func callAsFunction(
        _ request: ReadDigestRequest, _ context: CallContext
    ) async throws -> RPCReply<ReadDigestReply> {
        var asked = PullChangesRequest()
        asked.schema = request.schema
        asked.epoch = request.epoch
        (asked.historySeq, asked.historyTag) = (request.historySeq, request.historyTag)
        let page = try PageRequest(asked, of: context)
        let digest = try DigestRequest(request)
        do {
            let answer = try await turns.read(of: page.user, deadline: context.deadline) {
                try await reader.digest(digest, page, deadline: context.deadline)
            }
            metrics.count(digest.part)
            var reply = ReadDigestReply()
            if let end = answer.history {
                (reply.historySeq, reply.historyTag) = (end.sequence, end.tag)
            }
            return RPCReply(reply, body: answer.body)
        } catch let error as PostgresError {
            logger.log(error, "digest failed", page, context)
            throw DatabaseFailures.download.failure(of: error)
        }
    }
}

extension Logger {
    func log(
        _ error: PostgresError, _ what: Message, _ request: PageRequest, _ context: CallContext
    ) {
        warning(
            what,
            metadata: .fields([
                .requestID: .string(context.requestID),
                .user: .string(userHash(request.user.value)),
                .source: .string(request.device.value), .error: "\(error)",
            ]))
    }
}

extension PageRequest {
    /// - Throws: `RPCFailure` if the call names no caller.
    init(_ request: PullChangesRequest, of context: CallContext) throws {
        let caller = try context.requiredCaller()
        self.init(
            request, user: UserID(caller.user), device: DeviceID(caller.device),
            roles: caller.roles, keyKinds: caller.knownKeyKinds, limits: WireLimits())
    }
}
