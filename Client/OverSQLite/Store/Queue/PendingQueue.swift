import Foundation
import GRDB

/// `_sync_pending`, the rows with edits that the server has not confirmed. No other file writes it.
struct PendingQueue {
    let db: Database

    func row(_ table: TableSchema, _ key: DeviceRowKey) throws -> PendingRow? {
        let statement = try db.cachedStatement(
            sql: "SELECT * FROM _sync_pending WHERE tbl = ? AND key = ?")
        return try Row.fetchOne(statement, arguments: [table.id, key.wire])
            .map { PendingRow(row: $0, form: table.keyForm) }
    }

    func isEmpty() throws -> Bool {
        try Int.fetchOne(db.cachedStatement(sql: "SELECT 1 FROM _sync_pending LIMIT 1")) == nil
    }

    /// How many rows wait.
    struct Counts {
        /// All of them, those of tables that are not synced at present included, but not of dropped
        /// ones.
        let pending: Int
        /// Those that were refused.
        let rejected: Int
        /// Those that should be on their way: neither refused nor of a table that is no longer
        /// synced.
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

    /// The time of the next retry of a refused row, in seconds since 1970; nil if none is due ever.
    func nextRetry(_ catalog: DeviceCatalog) throws -> Double? {
        try Double.fetchOne(
            db,
            sql: """
                SELECT min(retry_at) FROM _sync_pending WHERE reason IS NOT NULL AND \(isOf(catalog))
                """)
    }

    /// Rows of tables that are no longer synced stay for their return, and must not take the place
    /// of others.
    private func isOf(_ catalog: DeviceCatalog) -> String {
        "tbl IN (\(catalog.tables.map { String($0.id) }.joined(separator: ", ")))"
    }

    /// The oldest rows that may be sent now, in queue order.
    ///
    /// Refused rows are passed over until their time, so they never take the place of others
    /// (hazard C14). A time further off than any schedule sets was set by a clock that has been set
    /// back since.
    func sendable(limit: Int, now: Double, catalog: DeviceCatalog) throws -> [PendingRow] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT * FROM _sync_pending
                WHERE (reason IS NULL OR retry_at <= ? OR retry_at > ?) AND \(isOf(catalog))
                ORDER BY seq LIMIT ?
                """)
        let latest = now + RetrySchedule.longest
        return try Row.fetchAll(statement, arguments: [now, latest, limit]).compactMap { row in
            catalog.table(id: row["tbl"]).map { PendingRow(row: row, form: $0.keyForm) }
        }
    }

    func add(_ row: PendingRow, form: KeyForm) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_pending (seq, tbl, key, local, op, base, image, revision)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            row.sequence, row.tableID, row.key.wire, KeyForm.stored(row.local, for: row.key),
            row.operation,
            row.base, row.image, row.revision,
        ])
    }

    /// Notes another edit: a refusal no longer stands, since it was of other content.
    ///
    /// - Parameter sentImage: the row as it was sent, if this is the first edit since.
    func edit(
        _ table: TableSchema, _ key: DeviceRowKey, _ operation: CapturedOperation, touch: Touch,
        sentImage: String?
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_pending SET op = ?, local = ?, revision = ?, reason = NULL, message = NULL,
                  attempts = 0, retry_at = NULL, sent_image = coalesce(?, sent_image)
                WHERE tbl = ? AND key = ?
                """
        ).execute(arguments: [
            operation, KeyForm.stored(touch.local, for: key), touch.sequence, sentImage, table.id,
            key.wire,
        ])
    }

    /// Puts a row on a new base, keeping its edits.
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

    /// Puts a row on another base and leaves all else as it is, its refusal too.
    func setBase(_ table: TableSchema, _ key: DeviceRowKey, _ base: Int64) throws {
        try db.cachedStatement(sql: "UPDATE _sync_pending SET base = ? WHERE tbl = ? AND key = ?")
            .execute(arguments: [base, table.id, key.wire])
    }

    func remove(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_pending WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
        try sent.remove(table, key)
    }

    /// Sets a row aside with the reason.
    ///
    /// - Parameter retryAt: seconds since 1970; nil leaves it to the app or to the next edit.
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
    /// Lets a refused row be sent again at once.
    ///
    /// - Parameter isAnew: as if it had never been refused: its schedule begins again, and a
    ///   refusal is news.
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

    func isRejected(_ table: TableSchema, _ key: DeviceRowKey) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT 1 FROM _sync_pending WHERE tbl = ? AND key = ? AND reason IS NOT NULL")
        return try Int.fetchOne(statement, arguments: [table.id, key.wire]) != nil
    }

    /// Whether the server may have edits of the row whose answer has not come: earlier ones, or
    /// these, which are sent again.
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

    /// Every refused row, oldest first.
    func rejected(_ catalog: DeviceCatalog) throws -> [RejectedChange] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM _sync_pending WHERE reason IS NOT NULL ORDER BY seq"
        ).compactMap { row in
            catalog.table(id: row["tbl"]).map { RejectedChange(row, in: $0) }
        }
    }

    /// How a row's edits stand in the queue; nil if none wait.
    ///
    /// - Parameter now: seconds since 1970; a refused row that is due is about to be sent again.
    func entry(_ table: TableSchema, _ key: DeviceRowKey, now: Double) throws -> OutcomeBook.Entry?
    {
        let statement = try db.cachedStatement(
            sql: "SELECT * FROM _sync_pending WHERE tbl = ? AND key = ?")
        return try Row.fetchOne(statement, arguments: [table.id, key.wire]).map { row in
            let isDue = (row["retry_at"] as Double?).map { $0 <= now } ?? false
            let isRejected = !isDue && (row["reason"] as String?) != nil
            return OutcomeBook.Entry(
                sequence: row["seq"],
                rejection: isRejected ? RejectedChange(row, in: table) : nil)
        }
    }

    /// Every edit that waits.
    func edits(_ catalog: DeviceCatalog) throws -> [WatchedEdit] {
        try Row.fetchAll(db, sql: "SELECT tbl, key, revision FROM _sync_pending ORDER BY seq")
            .filter { catalog.table(id: $0["tbl"]) != nil }
            .map { row in
                WatchedEdit(
                    row: .init(tableID: row["tbl"], key: DeviceRowKey(wire: row["key"])),
                    revision: row["revision"])
            }
    }
}

// MARK: - What was sent

extension PendingQueue {
    var sent: SentChanges { SentChanges(db: db) }

    /// Notes a row as sent.
    func recordSent(_ table: TableSchema, _ key: DeviceRowKey, _ record: SentRecord) throws {
        try sent.add(table, key, record)
        // What the server may get to know from now on is the row as it is now.
        try db.cachedStatement(
            sql: "UPDATE _sync_pending SET sent_image = NULL WHERE tbl = ? AND key = ?"
        )
        .execute(arguments: [table.id, key.wire])
    }
}

// MARK: - What a reread and a new start do with many rows

extension PendingQueue {
    /// Forgets edits of rows that are no longer in a table made anew. Deletes stay.
    func removeMissing(in table: TableSchema) throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_pending
                WHERE op <> 'DELETE' AND \(table.isMissingSQL(from: "_sync_pending"))
                """)
    }

    /// Puts the rows that a reread has seen in an older version, or not at all, on that version.
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
        try sent.removeAll()
    }
}

extension PendingRow {
    /// - Parameter row: of `_sync_pending`.
    init(row: Row, form: KeyForm) {
        let key = DeviceRowKey(wire: row["key"])
        self.init(
            sequence: row["seq"], tableID: row["tbl"], key: key,
            local: form.spelled(row["local"], for: key), operation: row["op"], base: row["base"],
            image: row["image"], revision: row["revision"])
        sentImage = row["sent_image"]
        reason = row["reason"]
        attempts = row["attempts"]
    }
}

extension RejectedChange {
    /// A refusal of this device's own, which only the app can lift.
    init(_ rejection: Rejection, of key: DeviceRowKey, in table: TableSchema) {
        self.init(
            table: table.name, key: key.wire, reason: rejection.reason, message: rejection.message,
            retryAt: nil)
    }

    /// - Parameter row: of `_sync_pending`, with a reason.
    init(_ row: Row, in table: TableSchema) {
        self.init(
            table: table.name, key: row["key"], reason: row["reason"], message: row["message"],
            retryAt: (row["retry_at"] as Double?).map(Date.init(timeIntervalSince1970:)))
    }
}
