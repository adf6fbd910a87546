extension PageApplier {
    /// Takes what the server has stored of a version that this device wrote.
    mutating func takeStored(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        pending: PendingRow?
    ) throws {
        let write = StoredWrite(db: db, tables: tables)
        if holdBack.contains(TableKey(tableID: table.id, key: key)) {
            // Edits that wait get a version of their own.
            if pending == nil {
                try write.hold(row, table, key, .missingParent, "its parent is missing")
            }
            return
        }
        let isChanged = try write.take(
            row, table, key, local: table.keyForm.spelled(known.spelling, for: key),
            pending: pending)
        if isChanged { summary.applied += 1 }
    }
}
