import DatabaseKit
import Logging
import NIOCore
import Postgres
import Protos
import RPC

/// The `ReadRows` call: the newest changes of rows that a digest has shown to differ. It costs what
/// a page does, and takes turns with them.
struct ReadRows: Sendable {
    let reader: PageReader
    let turns: PageTurns
    let metrics: DownloadMetrics
    let logger: Logger

    func callAsFunction(
        _ request: ReadRowsRequest, _ body: ByteBuffer, _ context: CallContext
    ) async throws -> RPCReply<PullChangesReply> {
        var asked = PullChangesRequest()
        asked.after = request.after
        asked.epoch = request.epoch
        (asked.historySeq, asked.historyTag) = (request.historySeq, request.historyTag)
        let page = try PageRequest(asked, of: context)
        let rows = try body.withUnsafeReadableBytes { bytes throws(RPCFailure) in
            try RowsRequest(body: bytes.bindMemory(to: UInt8.self))
        }
        do {
            let answer = try await turns.read(page, deadline: context.deadline) {
                try await reader.rows(rows, $0, deadline: context.deadline)
            }
            // The answers that continue this one are of the same keys.
            if request.after == 0 {
                metrics.count(rowsByKey: rows.keys.count, compares: request.compares)
            }
            return RPCReply(answer.reply, body: answer.body)
        } catch let error as PostgresError {
            logger.log(error, "rows failed", page, context)
            throw DatabaseFailures.download.failure(of: error)
        }
    }
}
