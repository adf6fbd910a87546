import Model
import Postgres

/// What a user's scope says of its log's history, without a look at the log.
package struct HistoryEnd: Hashable, Sendable {
    /// The last sequence.
    package let head: Sequence64
    /// The change for which the scope has a tag. It is the last one, unless plain SQL or a service
    /// that knows no tags has written since.
    package let tagged: HistoryPair
    /// Compaction has removed changes up to here.
    package let compacted: Sequence64
    /// A change that compaction removed when it was the last one.
    package let kept: HistoryPair

    package init(
        head: Sequence64, tagged: HistoryPair, compacted: Sequence64, kept: HistoryPair
    ) {
        self.head = head
        self.tagged = tagged
        self.compacted = compacted
        self.kept = kept
    }

    /// The columns of a row of `sync.scope` that ``init(_:)`` reads.
    ///
    /// - Parameter alias: what the statement calls the row. All are 0 where it is NULL.
    package static func columns(of alias: String) -> String {
        ["last_seq", "tagged_seq", "last_tag", "compacted_seq", "kept_seq", "kept_tag"]
            .map { "coalesce(\(alias).\($0), 0)" }.joined(separator: ", ")
    }

    package init(_ columns: inout RowColumns) throws(PostgresError) {
        func pair(_ columns: inout RowColumns) throws(PostgresError) -> HistoryPair {
            HistoryPair(
                sequence: try columns.next(Int64.self),
                tag: UInt64(bitPattern: try columns.next(Int64.self)))
        }
        head = try columns.next(Int64.self)
        tagged = try pair(&columns)
        compacted = try columns.next(Int64.self)
        kept = try pair(&columns)
    }

    /// The pair at a sequence, if the scope knows it by itself.
    package func known(at sequence: Sequence64) -> HistoryPair? {
        if sequence == head, tagged.sequence == head, head > 0 { return tagged }
        return kept.sequence == sequence && sequence > 0 ? kept : nil
    }

    /// What this log says about a pair that a device knows.
    ///
    /// - Parameter found: what the log has at its sequence; not asked for where ``known(at:)``
    ///   answers.
    package func judge(_ pair: HistoryPair, found: TaggedChange?) -> HistoryFinding {
        guard pair.sequence <= head else { return .forked }
        if let here = known(at: pair.sequence) ?? found?.pair {
            return here == pair ? .same : .forked
        }
        return pair.sequence <= compacted ? .unproven : .hole
    }
}

/// Whether the history that a device knows is this one.
package enum HistoryFinding: Hashable, Sendable {
    /// Everything up to the device's pair is here.
    case same
    /// The server has lost changes that the device knows of.
    case forked
    /// Compaction has removed the change, so the server cannot say.
    case unproven
    /// The change is missing, though nothing removed it: `oversync verify` names it.
    case hole

    /// As `/sync/bootstrap` says it. A hole proves nothing, and nothing speaks against it either.
    package var word: String {
        switch self {
        case .same, .hole: "same"
        case .forked: "forked"
        case .unproven: "unproven"
        }
    }
}
