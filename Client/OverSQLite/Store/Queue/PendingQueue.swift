import Foundation
import GRDB

/// `_sync_pending`, the rows with edits that the server has not confirmed. No other file writes it.
struct PendingQueue {
    private static let name = "_sync_pending"

    let db: Database

    func row(_ table: TableSchema, _ key: DeviceRowKey) throws -> PendingRow? {
        let statement = try db.cachedStatement(
            sql: "SELECT * FROM _sync_pending WHERE tbl = ? AND key = ?")
        return try MetadataRow.first(of: Self.name, statement, [table.id, key.wire])
            .map { try PendingRow(row: $0, form: table.keyForm) }
    }

    func has(_ row: TableKey) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT 1 FROM _sync_pending WHERE tbl = ? AND key = ?")
        return try Int.fetchOne(statement, arguments: [row.tableID, row.key.wire]) != nil
    }

    func isEmpty() throws -> Bool {
        try Int.fetchOne(db.cachedStatement(sql: "SELECT 1 FROM _sync_pending LIMIT 1")) == nil
    }

    /// The numbers of pending rows.
    struct Counts {
        /// All of them. Includes tables that are not synced at present, but not dropped ones.
        let pending: Int
        /// Those that are rejected.
        let rejected: Int
        /// Those that should be sent: not rejected, and of a table that is synced.
        let onTheirWay: Int
    }

    func counts(_ catalog: DeviceCatalog) throws -> Counts {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT count(*), count(reason), count(*) FILTER (WHERE reason IS NULL AND \(isOf(catalog)))
                FROM _sync_pending WHERE tbl IN (\(SyncedTables.stillThere))
                """)
        return Counts(
            pending: (row?[0] ?? 0) + (try AbsentTables(db: db).count()), rejected: row?[1] ?? 0,
            onTheirWay: row?[2] ?? 0)
    }

    /// The time of the next retry of a rejected row, in seconds since 1970; nil if none is
    /// scheduled.
    func nextRetry(_ catalog: DeviceCatalog) throws -> Double? {
        try MetadataRow.first(
            of: Self.name, db,
            sql: """
                SELECT min(retry_at) AS retry_at FROM _sync_pending
                WHERE reason IS NOT NULL AND \(isOf(catalog))
                """)?.timeIfAny("retry_at")
    }

    /// SQL that selects the synced tables. Rows of tables that are no longer synced stay in the
    /// queue for their return and must not take the place of others.
    private func isOf(_ catalog: DeviceCatalog) -> String {
        "tbl IN (\(catalog.tables.map { String($0.id) }.joined(separator: ", ")))"
    }

    /// The oldest rows that may be sent now, in queue order.
    ///
    /// Rejected rows are skipped until they are due, so they never take the place of others (hazard
    /// C14). A time further ahead than any schedule sets comes from a clock that has been set back
    /// since, so the row counts as due.
    ///
    /// - Parameters:
    ///   - place: the place in the queue after which to begin.
    ///   - waiting: the numbers of tables whose deletions are not wanted.
    ///   - withRefused: includes rows that PostgreSQL has refused, due or not.
    func sendable(
        after place: Int64 = 0, withoutDeletesIn waiting: Set<Int64> = [], limit: Int, now: Double,
        catalog: DeviceCatalog, withRefused: Bool = false
    ) throws -> [PendingRow] {
        let numbers = waiting.sorted().map(String.init).joined(separator: ", ")
        let isWanted = waiting.isEmpty ? "" : "AND (op <> 'DELETE' OR tbl NOT IN (\(numbers)))"
        let statement = try db.cachedStatement(
            sql: """
                SELECT * FROM _sync_pending
                WHERE (reason IS NULL OR retry_at <= ? OR retry_at > ? OR ? AND reason = ?)
                  AND seq > ? AND \(isOf(catalog)) \(isWanted)
                ORDER BY seq LIMIT ?
                """)
        let latest = now + RetrySchedule.longest
        return try MetadataRow.all(
            of: Self.name, statement,
            [now, latest, withRefused, PushRules.materializeError, place, limit]
        ).compactMap { row in
            try catalog.table(id: row.number("tbl")).map {
                try PendingRow(row: row, form: $0.keyForm)
            }
        }
    }

    func add(_ row: PendingRow, form: KeyForm) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_pending (seq, tbl, key, local, op, base, image, revision, added)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, CAST(strftime('%s', 'now') AS INTEGER))
                """
        ).execute(arguments: [
            row.sequence, row.tableID, row.key.wire, KeyForm.stored(row.local, for: row.key),
            row.operation,
            row.base, row.image, row.revision,
        ])
    }

    /// Records another edit. This clears a rejection, which was about the earlier content.
    ///
    /// - Parameters:
    ///   - local: the key as the row spells it.
    ///   - sentImage: the row as it was sent, if this is the first edit since.
    func edit(
        _ table: TableSchema, _ key: DeviceRowKey, _ operation: CapturedOperation, revision: Int64,
        local: DatabaseValue, sentImage: String?
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_pending SET op = ?, local = ?, revision = ?, reason = NULL, message = NULL,
                  attempts = 0, retry_at = NULL, sent_image = coalesce(?, sent_image)
                WHERE tbl = ? AND key = ?
                """
        ).execute(arguments: [
            operation, KeyForm.stored(local, for: key), revision, sentImage, table.id, key.wire,
        ])
    }

    /// Gives a row a new base and keeps its edits.
    func rebase(
        _ table: TableSchema, _ key: DeviceRowKey, onto base: Int64,
        as operation: CapturedOperation,
        image: String?
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_pending SET base = ?, op = ?, image = ?, sent_image = NULL, reason = NULL,
                  message = NULL, attempts = 0, retry_at = NULL WHERE tbl = ? AND key = ?
                """
        ).execute(arguments: [base, operation, image, table.id, key.wire])
        try sent.remove(table, key)
    }

    /// Gives a row another base and leaves everything else as it is, including a rejection.
    func setBase(_ table: TableSchema, _ key: DeviceRowKey, _ base: Int64) throws {
        try db.cachedStatement(sql: "UPDATE _sync_pending SET base = ? WHERE tbl = ? AND key = ?")
            .execute(arguments: [base, table.id, key.wire])
    }

    /// Gives a row another image of its base and leaves everything else as it is.
    func setImage(_ table: TableSchema, _ key: DeviceRowKey, _ image: String?) throws {
        try db.cachedStatement(sql: "UPDATE _sync_pending SET image = ? WHERE tbl = ? AND key = ?")
            .execute(arguments: [image, table.id, key.wire])
    }

    /// Records another spelling of a row's key.
    func respell(_ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue) throws {
        try db.cachedStatement(sql: "UPDATE _sync_pending SET local = ? WHERE tbl = ? AND key = ?")
            .execute(arguments: [KeyForm.stored(local, for: key), table.id, key.wire])
    }

    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_pending WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
        try sent.remove(table, key)
        try LostVersions(db: db).remove(table, key)
    }

    /// Rejects a row.
    ///
    /// - Parameter retryAt: when to send it again, in seconds since 1970; nil leaves that to the
    ///   app or to the next edit.
    func reject(
        _ table: TableSchema, _ key: DeviceRowKey, _ rejection: Rejection, retryAt: Double? = nil
    )
        throws
    {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_pending SET reason = ?, message = ?, attempts = attempts + 1, retry_at = ?
                WHERE tbl = ? AND key = ?
                """
        ).execute(arguments: [rejection.reason, rejection.message, retryAt, table.id, key.wire])
    }
}

extension PendingQueue {
    /// Lets a rejected row be sent again at once.
    ///
    /// - Parameter isAnew: whether to treat the row as if it had never been rejected: its retry
    ///   schedule starts over, and another rejection is news.
    func makeDue(_ table: TableSchema, _ key: DeviceRowKey, at now: Double, isAnew: Bool = false)
        throws
    {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_pending SET retry_at = ?, attempts = CASE WHEN ? THEN 0 ELSE attempts END
                WHERE tbl = ? AND key = ? AND reason IS NOT NULL
                """
        ).execute(arguments: [now, isAnew, table.id, key.wire])
    }

    /// Lets rows be sent again at once that the server rejected because the user may not write to
    /// their table, or because it did not have it. Their retry schedule starts over: the server's
    /// Upload service may know a little later than its pages that the table is open.
    func makeForbiddenDue(in table: TableSchema, at now: Double) throws {
        try db.execute(
            sql: """
                UPDATE _sync_pending SET retry_at = ?, attempts = 0
                WHERE tbl = ? AND reason IN (?, ?)
                """,
            arguments: [
                now, table.id, PushRules.forbiddenTable, PushRules.unregisteredTable,
            ])
    }

    func isRejected(_ table: TableSchema, _ key: DeviceRowKey) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT 1 FROM _sync_pending WHERE tbl = ? AND key = ? AND reason IS NOT NULL")
        return try Int.fetchOne(statement, arguments: [table.id, key.wire]) != nil
    }

    /// Whether the server may have unanswered edits of the row: earlier ones, or the current ones
    /// that are being sent again.
    func isInDoubt(_ table: TableSchema, _ pending: PendingRow, now: Double) throws -> Bool {
        let sent = try sent.records(table, pending.key)
        if sent.contains(where: { $0.revision != pending.revision }) { return true }
        let statement = try db.cachedStatement(
            sql: """
                SELECT 1 FROM _sync_pending
                WHERE tbl = ? AND key = ? AND (retry_at <= ? OR retry_at > ?)
                """)
        let isDue = try Int.fetchOne(
            statement,
            arguments: [table.id, pending.key.wire, now, now + RetrySchedule.longest])
        return !sent.isEmpty && isDue != nil
    }

    /// Every rejected row, oldest first.
    func rejected(_ catalog: DeviceCatalog) throws -> [RejectedChange] {
        try MetadataRow.all(
            of: Self.name, db,
            sql: "SELECT * FROM _sync_pending WHERE reason IS NOT NULL ORDER BY seq"
        ).compactMap { row in
            try catalog.table(id: row.number("tbl")).map { try RejectedChange(row, in: $0) }
        }
    }

    /// The state of a row's edits; nil if none are pending.
    ///
    /// - Parameter now: seconds since 1970; a rejected row that is due counts as about to be sent.
    func entry(_ table: TableSchema, _ key: DeviceRowKey, now: Double) throws -> OutcomeBook.Entry?
    {
        let statement = try db.cachedStatement(
            sql: "SELECT * FROM _sync_pending WHERE tbl = ? AND key = ?")
        return try MetadataRow.first(of: Self.name, statement, [table.id, key.wire]).map { row in
            let isDue = try row.timeIfAny("retry_at").map { $0 <= now } ?? false
            let isRejected = try !isDue && row.textIfAny("reason") != nil
            return OutcomeBook.Entry(
                sequence: try row.number("seq"),
                rejection: isRejected ? try RejectedChange(row, in: table) : nil)
        }
    }

    /// Every pending edit.
    func edits(_ catalog: DeviceCatalog) throws -> [WatchedEdit] {
        try MetadataRow.all(
            of: Self.name, db, sql: "SELECT tbl, key, revision FROM _sync_pending ORDER BY seq"
        ).filter { try catalog.table(id: $0.number("tbl")) != nil }
            .map { row in
                WatchedEdit(
                    row: .init(
                        tableID: try row.number("tbl"), key: DeviceRowKey(wire: try row.text("key"))
                    ),
                    revision: try row.number("revision"))
            }
    }
}

// MARK: - What was sent

extension PendingQueue {
    var sent: SentChanges { SentChanges(db: db) }

    /// Records that a row is being sent with other unique values, so that it is sent as it is
    /// afterwards.
    func recordStandIn(
        _ table: TableSchema, _ key: DeviceRowKey, _ record: SentRecord, image: String
    ) throws {
        try sent.add(table, key, record)
        try db.cachedStatement(
            sql: "UPDATE _sync_pending SET sent_image = ? WHERE tbl = ? AND key = ?"
        )
        .execute(arguments: [image, table.id, key.wire])
    }

    /// Records that a row is being sent.
    func recordSent(_ table: TableSchema, _ key: DeviceRowKey, _ record: SentRecord) throws {
        try sent.add(table, key, record)
        // From now on, the server may know the row as it is now.
        try db.cachedStatement(
            sql: "UPDATE _sync_pending SET sent_image = NULL WHERE tbl = ? AND key = ?"
        )
        .execute(arguments: [table.id, key.wire])
    }
}

// MARK: - Many rows at once

extension PendingQueue {
    /// Forgets edits of rows that were not copied when the table was rebuilt. Deletes stay.
    func removeLeftOut(in table: TableSchema) throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_pending
                WHERE op <> 'DELETE' AND \(table.isLeftOutSQL(from: "_sync_pending"))
                """)
    }

    /// Sets the base of rows that a reread has found only in an older version, or not at all, to
    /// that version.
    func rebaseUnseen(in table: TableSchema) throws {
        try db.execute(
            sql: """
                UPDATE _sync_pending SET base = coalesce(u.seen, 0) FROM _sync_unseen u
                WHERE u.tbl = ? AND _sync_pending.tbl = u.tbl AND _sync_pending.key = u.key
                """, arguments: [table.id])
    }

    /// Forgets every edit, sent or not.
    func removeAll() throws {
        try db.execute(sql: "DELETE FROM _sync_pending")
        try LostVersions(db: db).removeAll()
        try sent.removeAll()
    }
}

extension PendingRow {
    /// - Parameter row: a row of `_sync_pending`.
    init(row: MetadataRow, form: KeyForm) throws {
        let key = DeviceRowKey(wire: try row.text("key"))
        guard KeyForm.mayBe(try row.value("local"), spellingOf: key) else {
            // The row that it spells is another one, or none: its deletion would be sent.
            throw row.damage("local", "does not spell the key")
        }
        self.init(
            sequence: try row.number("seq"), tableID: try row.number("tbl"), key: key,
            local: form.spelled(try row.value("local"), for: key), operation: try row.word("op"),
            base: try row.number("base"), image: try row.textIfAny("image"),
            revision: try row.number("revision"))
        sentImage = try row.textIfAny("sent_image")
        reason = try row.textIfAny("reason")
        attempts = Int(try row.number("attempts"))
    }
}

extension RejectedChange {
    /// A rejection by this device, which only the app can clear.
    init(_ rejection: Rejection, of key: DeviceRowKey, in table: TableSchema) {
        self.init(
            table: table.name, key: key.wire, reason: rejection.reason, message: rejection.message,
            retryAt: nil)
    }

    /// - Parameter row: a row of `_sync_pending` with a reason.
    init(_ row: MetadataRow, in table: TableSchema) throws {
        self.init(
            table: table.name, key: try row.text("key"), reason: try row.text("reason"),
            message: try row.textIfAny("message"),
            retryAt: try row.timeIfAny("retry_at").map(Date.init(timeIntervalSince1970:)))
    }
}
