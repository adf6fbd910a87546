/// Decides what the answer to an upload means for a row, from what was sent and what is pending
/// now.
enum PushRules {
    enum Action: Hashable {
        /// Change nothing: nothing is pending any more, or the row must be sent again.
        case leave
        /// The server has what is pending, so remove the row from the queue. The version is nil if
        /// the server never had the row.
        case confirm(version: Int64?)
        /// The server has what was sent; put the edits made since on top of it.
        case advance(version: Int64)
        /// Like `advance`, but based on the row in the answer.
        case rebase
        /// Both sides edited the row: resolve the conflict.
        case resolve
        /// The server does not know the row: insert it.
        case recreate
        /// Reject the row and schedule its next try.
        case reject(Rejection, Retry)
        /// The request was too large, not the row.
        case shrink
    }

    /// When a rejected row is sent again without the app's help.
    enum Retry: Hashable {
        /// Only when the app edits or retries it.
        case never
        /// Soon, because the cause will probably pass; in the same run if other rows have got
        /// through.
        case soon
        /// Now and then, because only people can remove the cause.
        case rarely
    }

    /// The reason of a row that PostgreSQL refuses.
    static let materializeError = "materialize_error"
    /// The reason of a row whose table the user may not read, or may not write to.
    static let forbiddenTable = "forbidden_table"
    static let unregisteredTable = "unregistered_table"

    /// - Parameters:
    ///   - waiting: the revision and base of the row's queue entry; nil if it has none.
    ///   - sent: the revisions of the row's unanswered changes by change id, including this one.
    ///   - batchCount: the number of changes in the request.
    static func decide(
        _ status: ChangeStatus, for change: SentChange, waiting: (revision: Int64, base: Int64)?,
        sent: [Int64: Int64], ownSource: String, batchCount: Int
    ) -> Action {
        guard let waiting else {
            if case .applied(let version) = status {
                return .confirm(version: resulting(version, change))
            }
            return .leave
        }
        let isUnchanged = waiting.revision == change.revision
        // Whether another engine on the database has already processed this version, or a later
        // one, since the request was sent.
        func isPast(_ version: Int64) -> Bool {
            waiting.base != change.base && version <= waiting.base
        }
        switch status {
        case .applied(let version):
            let version = resulting(version, change)
            if isUnchanged { return .confirm(version: version) }
            return version.map { isPast($0) ? .leave : .advance(version: $0) } ?? .leave
        case .conflict(let row):
            guard let row else {
                return .reject(
                    Rejection(
                        reason: "conflict",
                        message: "the server reported a conflict without its row"), .soon)
            }
            if isPast(row.version) { return .leave }
            if row.sourceID == ownSource, let changeID = row.changeID, let revision = sent[changeID]
            {
                return revision == waiting.revision ? .confirm(version: row.version) : .rebase
            }
            return .resolve
        case .invalid(let rejection):
            return invalid(rejection, change, isUnchanged: isUnchanged, batchCount: batchCount)
        case .materializeError(let message):
            return isUnchanged || change.isStandIn
                ? .reject(Rejection(reason: materializeError, message: message), .soon) : .leave
        case .other(let word):
            return .reject(Rejection(reason: word.isEmpty ? "unknown" : word, message: nil), .soon)
        }
    }

    private static func invalid(
        _ rejection: Rejection, _ change: SentChange, isUnchanged: Bool, batchCount: Int
    ) -> Action {
        switch rejection.reason {
        // A row that was written again after its delete was sent exists on this device.
        case "row_missing":
            return change.operation == .delete && isUnchanged ? .confirm(version: nil) : .recreate
        case "batch_too_large" where batchCount > 1: return .shrink
        case _ where change.isStandIn: return .reject(rejection, .soon)
        // The content has changed since it was rejected.
        case _ where !isUnchanged: return .leave
        case "bad_payload", "key_taken", "batch_too_large": return .reject(rejection, .never)
        case unregisteredTable: return .reject(rejection, .rarely)
        default: return .reject(rejection, .soon)
        }
    }

    /// Reference servers may acknowledge a repeat without a version; the log then holds base + 1
    /// (hazard C17). A delete of a row that never existed has no version.
    private static func resulting(_ version: Int64?, _ change: SentChange) -> Int64? {
        if let version { return version }
        return change.operation == .delete && change.base == 0 ? nil : change.base + 1
    }
}
