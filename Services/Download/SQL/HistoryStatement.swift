import Model
import Postgres
import RPC
import ServiceKit
import Sidecar

extension DownloadStatements {
    /// Where a user's log ends, and what it has at the sequence of the pair that the device sent
    /// and at the end of the device's window. Neither is looked for where the scope says enough.
    struct ReadHistory: TypedStatement {
        static let statement = Statement(
            name: "download_history",
            sql: """
                SELECT pg_is_in_recovery(), \(HistoryEnd.columns(of: "s")),
                    \(TaggedChange.columns(of: "told")), \(TaggedChange.columns(of: "last"))
                FROM (SELECT) AS one
                LEFT JOIN sync.scope s ON \(NamedScope.condition("s"))
                LEFT JOIN LATERAL (
                    SELECT * FROM sync.change_log l
                    WHERE l.scope_id = $1 AND l.seq = $3 AND s.scope_id IS NOT NULL
                        AND NOT (s.last_seq = $3 AND s.tagged_seq = $3) LIMIT 1
                ) AS told ON true
                LEFT JOIN LATERAL (
                    SELECT * FROM sync.change_log l
                    WHERE l.scope_id = $1 AND l.seq = least($4, s.last_seq)
                        AND s.scope_id IS NOT NULL AND least($4, s.last_seq) IS DISTINCT FROM $3
                        AND NOT (s.tagged_seq = s.last_seq AND s.last_seq <= $4) LIMIT 1
                ) AS last ON true
                """,
            parameters: [.int8, .text, .int8, .int8], results: .binary)

        /// Nil for a user who has none.
        let scope: NamedScope?
        /// The pair that the device sent.
        let pair: HistoryPair?
        /// The end of the window that it asked for; nil: the log's.
        var until: Sequence64?

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
            bindings.bind(pair?.sequence)
            bindings.bind(until ?? .max)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> LogHistory {
            LogHistory(
                isStandby: try columns.next(Bool.self), end: try HistoryEnd(&columns),
                told: try TaggedChange.read(&columns), last: try TaggedChange.read(&columns))
        }
    }
}

/// A reading of `ReadHistory`.
struct LogHistory: Sendable {
    let isStandby: Bool
    let end: HistoryEnd
    /// The change at the sequence that the device sent, if it was read.
    let told: TaggedChange?
    /// The change at the end of the window, if it was looked for.
    let last: TaggedChange?

    /// What this database says of a device's pair.
    ///
    /// A standby may lag, and what it has not replayed is not lost. So it says nothing about a pair
    /// that is beyond its end.
    ///
    /// - Throws: `RPCFailure.unavailable` where a standby has another change in that place. The
    ///   primary alone may say that a history has forked.
    func judge(_ pair: HistoryPair?) throws(RPCFailure) -> HistoryFinding? {
        guard let pair else { return nil }
        let finding = end.judge(pair, found: told)
        guard finding == .forked, isStandby else { return finding }
        if pair.sequence > end.head { return nil }
        throw .unavailable(
            "The replica's database has another history than this device; try again later")
    }

    /// The change at a sequence, where its tag is known: of the log's end, of the window's, and of
    /// what the device sent.
    func pair(at sequence: Sequence64) -> HistoryPair? {
        end.known(at: sequence)
            ?? [told, last].lazy.compactMap(\.self).first { $0.sequence == sequence }?.pair
    }
}

extension ScopeReading {
    /// Adds what the database says of histories.
    ///
    /// - Parameter window: the end of the device's window. Where compaction has removed the change
    ///   there, the answer has the log's last one, which proves as much.
    func with(
        _ history: LogHistory, of pair: HistoryPair?, window: Sequence64
    ) throws(RPCFailure) -> ScopeReading {
        var state = state
        state.tag = history.pair(at: state.head)?.tag
        return ScopeReading(
            state: state, hydratedFrom: hydratedFrom, history: try history.judge(pair),
            windowEnd: history.pair(at: window) ?? history.pair(at: state.head),
            isOfStandby: history.isStandby, atomicEnd: atomicEnd)
    }
}
