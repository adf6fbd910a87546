import GRDB

/// A version of a row that this device wrote itself and for which it received no answer (hazard
/// C17).
struct OwnWrite {
    let db: Database
    let tables: TableWriters
    /// False if the app's row is left as it is, because what the server stored would leave it
    /// without its parent.
    var writesRow = true

    /// The version is the row as it is here, or what the server made of it: it is confirmed.
    func confirm(_ pending: PendingRow, in table: TableSchema, by row: RemoteRow) throws {
        try PendingQueue(db: db).remove(table, pending.key)
        try tables.known.record(
            table, pending.key, row.known, local: pending.local, term: row.term)
        if pending.operation != .delete {
            _ = try StoredWrite(db: db, tables: tables).take(
                row, table, pending.key, local: pending.local, pending: nil)
        }
    }

    /// Puts the edits made since on top of that version. There is no report, because nobody else
    /// edited the row.
    ///
    /// - Parameter sent: the row's revision in that version.
    func rebase(
        _ pending: PendingRow, in table: TableSchema, onto row: RemoteRow, sent: Int64?
    ) throws {
        if let sent {
            tables.outcomes.append(
                RowOutcome(
                    row: .init(tableID: table.id, key: pending.key), kind: .reached(revision: sent))
            )
        }
        try tables.known.record(
            table, pending.key, row.known, local: pending.local, term: row.term)
        let isDeleted = row.payload == nil
        let queue = PendingQueue(db: db)
        if writesRow, !isDeleted, pending.operation != .delete {
            let last = try queue.sent.records(table, pending.key).last
            let isLast = last.map { $0.changeID == row.changeID } ?? false
            try StoredWrite(db: db, tables: tables).take(
                row, table, pending.key, local: pending.local,
                since: isLast ? RowImage.values(of: pending.sentImage) : nil)
        }
        if pending.operation == .delete {
            if isDeleted { return try queue.remove(table, pending.key) }
            return try queue.rebase(
                table, pending.key, onto: row.version, as: .delete, image: try image(row, table))
        }
        try queue.rebase(
            table, pending.key, onto: row.version, as: isDeleted ? .insert : .update,
            image: try image(row, table))
    }

    private func image(_ row: RemoteRow, _ table: TableSchema) throws -> String? {
        try StoredWrite(db: db, tables: tables).image(row, table)
    }
}
