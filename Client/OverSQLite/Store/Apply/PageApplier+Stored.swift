import Digests

extension PageApplier {
    /// What a change adds to its table's digest; nil for a deletion.
    func term(
        of change: RemoteChange, _ key: DeviceRowKey, _ bytes: UnsafeBufferPointer<UInt8>
    ) -> Int64? {
        change.payload.map {
            RowTerm.term(
                key: key.wire, version: change.version,
                payload: UnsafeBufferPointer(rebasing: bytes[$0]))
        }
    }

    /// Learns the term of a version that is known already, unless it is known, too: one that
    /// differs is for a comparison to find.
    func learnTerm(
        of change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey,
        _ known: KnownRows.Entry?, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        guard let known, known.term == nil, known.row.version == change.version else { return }
        try tables.known.setTerm(
            table, key, version: change.version, term(of: change, key, bytes))
    }

    /// Takes what the server has stored of a version that this device wrote.
    mutating func takeStored(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        pending: PendingRow?
    ) throws {
        try tables.known.setTerm(table, key, version: row.version, row.term)
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
