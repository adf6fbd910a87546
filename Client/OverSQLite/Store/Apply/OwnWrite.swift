import GRDB

/// A version of a row that this device wrote itself and for which it received no answer (hazard
/// C17).
struct OwnWrite {
    let db: Database
    let tables: TableWriters

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
        try tables.known.record(table, pending.key, row.known, local: pending.local)
        let isDeleted = row.payload == nil
        let queue = PendingQueue(db: db)
        if pending.operation == .delete {
            if isDeleted { return try queue.remove(table, pending.key) }
            return try queue.rebase(
                table, pending.key, onto: row.version, as: .delete, image: image(row, table))
        }
        try queue.rebase(
            table, pending.key, onto: row.version, as: isDeleted ? .insert : .update,
            image: image(row, table))
    }

    /// The row of that version as a base; nil if it cannot be read, which only makes a later merge
    /// coarser.
    private func image(_ row: RemoteRow, _ table: TableSchema) -> String? {
        guard let payload = row.payload else { return nil }
        let values = payload.withUnsafeBufferPointer { bytes in
            try? tables.writer(table).values(of: bytes)
        }
        return values.map(RowImage.text(of:))
    }
}
