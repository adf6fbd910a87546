/// What an answer means for a row, decided from what was sent and what waits now.
enum PushRules {
    enum Action: Hashable {
        /// Nothing waits any more, or the row must be asked about again; it stays as it is.
        case leave
        /// The server has what waits: nothing waits any more. nil: it never had the row.
        case confirm(version: Int64?)
        /// The server has what was sent; the edits made since go on top of it.
        case advance(version: Int64)
        /// As `advance`, from the row the server shows.
        case rebase
        /// Two sides edited the row.
        case resolve
        /// The server does not know the row: it is created.
        case recreate
        /// The row stands aside, to be tried again as the schedule has it.
        case reject(Rejection, Retry)
        /// The request was too large, not the row.
        case shrink
    }

    /// When a refused row is sent again by itself.
    enum Retry: Hashable {
        /// Only when the app edits or retries it.
        case never
        /// Soon, since the cause is likely to pass, and in this very run if others have got
        /// through.
        case soon
        /// Now and then, since only people can remove the cause.
        case rarely
    }

    /// - Parameters:
    ///   - waiting: revision and base of the row's entry in the queue; nil if it has none.
    ///   - sent: revisions sent under change ids for this row whose answers never came, this one
    ///     included.
    ///   - batchCount: changes in the request.
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
        // Another engine on the database has dealt with this version, or a later one, while the
        // answer was under way.
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
                    Rejection(reason: "conflict", message: "the server shows no row"), .soon)
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
            return isUnchanged
                ? .reject(Rejection(reason: "materialize_error", message: message), .soon) : .leave
        case .other(let word):
            return .reject(Rejection(reason: word.isEmpty ? "unknown" : word, message: nil), .soon)
        }
    }

    private static func invalid(
        _ rejection: Rejection, _ change: SentChange, isUnchanged: Bool, batchCount: Int
    ) -> Action {
        switch rejection.reason {
        // A row that was written again while its delete was under way is not gone here.
        case "row_missing":
            return change.operation == .delete && isUnchanged ? .confirm(version: nil) : .recreate
        case "batch_too_large" where batchCount > 1: return .shrink
        // The refusal was of content that has changed meanwhile.
        case _ where !isUnchanged: return .leave
        case "bad_payload", "key_taken", "batch_too_large": return .reject(rejection, .never)
        case "unregistered_table", "forbidden_table": return .reject(rejection, .rarely)
        default: return .reject(rejection, .soon)
        }
    }

    /// A repeat may be acknowledged without a version by reference servers; the log then holds base
    /// + 1 (hazard C17). A delete of a row that never was has no version at all.
    private static func resulting(_ version: Int64?, _ change: SentChange) -> Int64? {
        if let version { return version }
        return change.operation == .delete && change.base == 0 ? nil : change.base + 1
    }
}
