import Digests

/// What each column of the library's own tables may hold, and what takes the place of anything
/// else. `MetadataRow` throws exactly for values that are not good here.
struct MetadataColumns {
    enum Instead: Hashable {
        /// This value, as SQL.
        case value(String)
        /// The row goes, and loses nothing that the server does not have.
        case nothing
        /// The row is removed, and the app's row that it names is touched again.
        case touch
        /// The row goes, and all rows are compared with the server's.
        case comparison
        /// The number of the one table that has the row of this key; otherwise as a comparison.
        case table
        /// The row is removed, and the triggers of the table that it names write it again.
        case triggers
    }

    let table: String
    let name: String
    /// A condition, as SQL.
    let isGood: String
    let instead: Instead

    private init(_ column: String, _ condition: Condition, _ instead: Instead) {
        let parts = column.split(separator: ".").map(String.init)
        (table, name) = (parts[0], parts[1])
        isGood = condition(parts[1].quotedIdentifier)
        self.instead = instead
    }

    /// Makes a condition of a column's name.
    private typealias Condition = @Sendable (String) -> String

    private static func number(
        from lowest: Int64 = 0, to highest: Int64 = ProtocolNumber.maximum
    ) -> Condition {
        { "typeof(\($0)) = 'integer' AND \($0) BETWEEN \(lowest) AND \(highest)" }
    }

    @Sendable private static func text(_ column: String) -> String { "typeof(\(column)) = 'text'" }

    @Sendable private static func time(_ column: String) -> String {
        let (first, last) = (MetadataRow.times.lowerBound, MetadataRow.times.upperBound)
        return "typeof(\(column)) IN ('integer', 'real') AND \(column) BETWEEN \(first) AND \(last)"
    }

    private static func orNull(_ condition: @escaping Condition) -> Condition {
        { "\($0) IS NULL OR \(condition($0))" }
    }

    private static func word(_ words: [String]) -> Condition {
        let list = words.map(\.quotedLiteral).joined(separator: ", ")
        return { "typeof(\($0)) = 'text' AND \($0) IN (\(list))" }
    }

    /// As `KeyForm.mayBe(_:spellingOf:)` decides.
    @Sendable private static func spelling(_ column: String) -> String {
        """
        \(column) IS NULL OR key GLOB '[\(KeyForm.unsendableMark)]*'
          OR typeof(\(column)) = 'blob' AND lower(hex(\(column))) = replace(key, '-', '')
          OR typeof(\(column)) = 'integer' AND CAST(\(column) AS TEXT) = key
          OR typeof(\(column)) = 'text' AND (\(column) = key
            OR lower(replace(\(column), '-', '')) = replace(key, '-', ''))
        """
    }

    private typealias Absence = SyncedTables.Absence
    private typealias Rebuilding = SyncedTables.Rebuilding

    private static func number(to highest: Int) -> Condition { number(to: Int64(highest)) }

    private static let flag = number(to: Int64(1))
    /// A pattern for GLOB.
    private static let uuid = [8, 4, 4, 4, 12]
        .map { String(repeating: "[0-9a-fA-F]", count: $0) }.joined(separator: "-")

    /// As `TablesFingerprint` reads it, for GLOB.
    private static let fingerprint = String(repeating: "[0-9a-f]", count: 16)

    private static let term = orNull(number(to: RowTerm.mask))
    private static let operation = word(["INSERT", "UPDATE", "DELETE"])

    static let all =
        state + queue + server + [
            .init("_sync_tables.id", number(), .triggers),
            .init("_sync_tables.name", text, .triggers),
            .init("_sync_tables.columns", text, .value("''")),
            // As a table that comes back after the server has lost changes: all of it is read
            // again, and sent where the server does not have it.
            .init(
                "_sync_tables.is_absent", number(to: Absence.sinceOldHistory.rawValue),
                .value("\(Absence.sinceOldHistory.rawValue)")),
            .init(
                "_sync_tables.rebuilt", number(to: Rebuilding.damaged.rawValue),
                .value("\(Rebuilding.unchecked.rawValue)")),
            .init(
                "_sync_tables.access", number(to: TableAccess.unserved.rawValue),
                .value("\(TableAccess.open.rawValue)")),
        ]

    private static let state: [MetadataColumns] = [
        .init("_sync_state.id", number(from: 1, to: 1), .value("1")),
        .init("_sync_state.format", number(), .value("\(MetadataTables.format)")),
        .init("_sync_state.user_id", orNull(text), .value("NULL")),
        .init("_sync_state.source_id", orNull(text), .value("NULL")),
        .init(
            "_sync_state.next_change_id", number(from: 1, to: ProtocolNumber.maximum + 1),
            .value("1")),
        .init("_sync_state.cursor", number(), .value("0")),
        .init("_sync_state.reached", number(), .value("0")),
        .init("_sync_state.local_until", number(), .value("0")),
        .init("_sync_state.window", number(), .value("0")),
        .init("_sync_state.hydrated", flag, .value("0")),
        // Below every touch: those that are there are folded again.
        .init("_sync_state.folded", number(), .value("-1")),
        .init(
            "_sync_state.epoch", orNull { "typeof(\($0)) = 'text' AND \($0) GLOB '\(uuid)'" },
            .value("NULL")),
        .init(
            "_sync_state.reread",
            orNull(
                word([.historyPruned, .newHistory, .deviceRestored].map(\RereadReason.rawValue))),
            .value("NULL")),
        .init("_sync_state.history_seq", number(), .value("0")),
        .init("_sync_state.history_tag", number(from: .min, to: .max), .value("0")),
        .init("_sync_state.forked_at", time, .value("0")),
        .init("_sync_state.compared_at", time, .value("0")),
        .init(
            "_sync_state.readable",
            orNull { "typeof(\($0)) = 'text' AND \($0) GLOB '\(fingerprint)'" }, .value("NULL")),
        .init("_sync_state.resume_at", number(), .value("0")),
        .init("_sync_state.file", orNull(text), .value("NULL")),
        .init("_sync_state.copied_from", orNull(text), .value("NULL")),
        .init("_sync_state.copy_name", orNull(text), .value("NULL")),
    ]

    private static let queue: [MetadataColumns] = [
        .init("_sync_log.tbl", number(), .table),
        .init("_sync_log.kind", number(to: Touch.Kind.deleted.rawValue), .value("0")),
        .init("_sync_log.image", orNull(text), .value("NULL")),
        .init("_sync_absent.tbl", number(), .table),
        .init("_sync_absent.kind", number(to: Touch.Kind.deleted.rawValue), .value("0")),
        .init("_sync_absent.image", orNull(text), .value("NULL")),
        .init("_sync_pending.tbl", number(), .table),
        .init("_sync_pending.key", text, .comparison),
        // Where the row is gone, it does not matter how it spelled its key.
        .init(
            "_sync_pending.local", { "op IS NOT 'DELETE' OR \(spelling($0))" }, .value("NULL")),
        .init("_sync_pending.local", spelling, .comparison),
        .init("_sync_pending.seq", number(from: 1), .touch),
        .init("_sync_pending.op", operation, .touch),
        .init("_sync_pending.base", number(), .touch),
        .init("_sync_pending.revision", number(), .touch),
        .init("_sync_pending.image", orNull(text), .value("NULL")),
        .init("_sync_pending.sent_image", orNull(text), .value("NULL")),
        .init("_sync_pending.reason", orNull(text), .value("NULL")),
        .init("_sync_pending.message", orNull(text), .value("NULL")),
        .init("_sync_pending.attempts", number(), .value("0")),
        .init("_sync_pending.retry_at", orNull(time), .value("NULL")),
        .init("_sync_pending.added", orNull(number()), .value("NULL")),
        .init("_sync_sent.tbl", number(), .nothing),
        .init("_sync_sent.key", text, .nothing),
        .init("_sync_sent.change_id", number(), .nothing),
        .init("_sync_sent.revision", number(), .nothing),
        .init("_sync_sent.base", number(), .nothing),
        .init("_sync_sent.op", operation, .nothing),
    ]

    private static let server: [MetadataColumns] = [
        .init("_sync_rows.tbl", number(), .comparison),
        .init("_sync_rows.key", text, .comparison),
        // Older than whatever the server has.
        .init("_sync_rows.version", number(), .value("0")),
        .init("_sync_rows.deleted", flag, .value("0")),
        .init("_sync_rows.local", spelling, .comparison),
        .init("_sync_rows.term", term, .value("NULL")),
        .init("_sync_held.tbl", number(), .nothing),
        .init("_sync_held.key", text, .nothing),
        .init("_sync_held.version", number(), .nothing),
        .init("_sync_held.payload", orNull(text), .nothing),
        .init("_sync_held.reason", text, .nothing),
        .init("_sync_held.cause", orNull(text), .value("NULL")),
        .init("_sync_held.is_stored", flag, .nothing),
        .init("_sync_held.term", term, .value("NULL")),
        .init("_sync_extra.tbl", number(), .nothing),
        .init("_sync_extra.key", text, .nothing),
        .init("_sync_extra.payload", { "typeof(\($0)) = 'text' AND json_valid(\($0))" }, .nothing),
        .init(
            "_sync_extra.exact",
            { "\($0) IS NULL OR typeof(\($0)) = 'text' AND json_valid(\($0))" },
            .nothing),
        .init("_sync_unseen.tbl", number(), .nothing),
        .init("_sync_unseen.key", text, .nothing),
        .init("_sync_unseen.seen", orNull(number()), .value("NULL")),
        .init("_sync_unseen.gone", orNull(flag), .value("NULL")),
        .init("_sync_lost.tbl", number(), .nothing),
        .init("_sync_lost.key", text, .nothing),
        .init("_sync_lost.version", number(), .nothing),
        .init("_sync_lost.until", number(from: -1), .nothing),
        .init("_sync_key_leases.tbl", number(), .nothing),
        .init("_sync_key_leases.size", number(), .value("0")),
        .init("_sync_key_leases.leased_at", time, .value("0")),
        .init("_sync_key_ranges.id", number(from: 1), .nothing),
        .init("_sync_key_ranges.tbl", number(), .nothing),
        .init("_sync_key_ranges.next", number(from: .min, to: .max), .nothing),
        .init("_sync_key_ranges.step", number(from: .min, to: .max), .nothing),
        .init("_sync_key_ranges.remaining", number(from: 1), .nothing),
        .init("_sync_key_ranges.source_id", text, .nothing),
        .init("_sync_key_ranges.epoch", text, .nothing),
        .init("_sync_conflicts.tbl", text, .nothing),
        .init("_sync_conflicts.key", text, .nothing),
        .init("_sync_conflicts.outcome", text, .nothing),
        .init("_sync_conflicts.columns", text, .nothing),
        .init("_sync_conflicts.lost", text, .nothing),
    ]
}
