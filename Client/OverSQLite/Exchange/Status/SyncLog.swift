import Logging

/// Writes what an engine does to the app's log.
///
/// `debug` has each request and `trace` each state; `info` has conflicts and recovered errors,
/// `notice` what changed the user's rows as a whole, and `warning` what someone should look at.
struct SyncLog: Sendable {
    private let logger: Logger?

    /// - Parameter logger: nil writes nothing.
    init(_ logger: Logger?) { self.logger = logger }

    func write(_ entry: RequestJournal.Entry) {
        var metadata: Logger.Metadata = [
            "method": "\(entry.method)", "path": "\(entry.path)", "ms": "\(entry.milliseconds)",
            "sent_bytes": "\(entry.sentBytes)", "received_bytes": "\(entry.receivedBytes)",
        ]
        metadata["status"] = entry.status.map { "\($0)" }
        metadata["request_id"] = entry.requestID.map { "\($0)" }
        metadata["error"] = entry.error.map { "\($0)" }
        logger?.debug("request", metadata: metadata)
    }

    /// Writes what is new in the status.
    func write(_ status: SyncStatus, after before: SyncStatus) {
        guard let logger else { return }
        if status.state != before.state {
            logger.trace("state", metadata: ["state": "\(status.state)"])
        }
        if status.lastError != before.lastError {
            if let error = status.lastError {
                logger.warning(
                    "sync failed", metadata: ["error": "\(error)", "advice": "\(error.advice)"])
            } else {
                logger.info("sync works again")
            }
        }
        for notice in status.notices where !before.notices.contains(notice) {
            logger.warning("\(notice.description)")
        }
        if status.heldCount > before.heldCount {
            logger.warning("rows are held", metadata: ["rows": "\(status.heldCount)"])
        }
    }

    func write(_ event: SyncEvent) {
        guard let logger else { return }
        switch event {
        case .conflict(let report):
            logger.info(
                "conflict",
                metadata: ["table": "\(report.table)", "outcome": "\(report.outcome.rawValue)"])
        case .rejected(let change):
            var metadata: Logger.Metadata = [
                "table": "\(change.table)", "reason": "\(change.reason)",
            ]
            metadata["message"] = change.message.map { "\($0)" }
            logger.warning("a change was rejected", metadata: metadata)
        case .reread(let report):
            logger.notice(
                "everything is read again",
                metadata: [
                    "reason": "\(report.reason)", "resent_rows": "\(report.resentRows)",
                    "removed_rows": "\(report.removedRows)",
                ])
        case .drift(let report):
            logger.warning(
                "rows differed from the server's",
                metadata: [
                    "table": "\(report.table)", "rows": "\(report.rows)",
                    "repaired": "\(report.repaired)",
                ])
        case .access(let report):
            logger.notice(
                "the user's tables changed",
                metadata: [
                    "opened": "\(report.opened)", "closed": "\(report.closed)",
                    "removed_rows": "\(report.removedRows)",
                ])
        }
    }
}
