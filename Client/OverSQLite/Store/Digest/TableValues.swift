import GRDB

/// Compares the values of a table's rows with those that the log has.
///
/// It runs in a transaction in which all touches are folded, on a device that has applied the log
/// up to the end that the log's rows are of.
struct TableValues {
    let db: Database
    let table: TableSchema

    /// What was found of some rows.
    struct Finding {
        var compared = 0
        var skipped = 0
        var differing: Set<DeviceRowKey> = []
    }

    /// The keys of rows that the server has, as far as this device knows, in the order of their
    /// bytes.
    ///
    /// - Parameter after: the key that the last ones ended with; empty at the beginning.
    func keys(after: String, limit: Int) throws -> [DeviceRowKey] {
        try String.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT key FROM _sync_rows
                    WHERE tbl = ? AND key > ? AND deleted = 0 AND version > 0
                    ORDER BY key LIMIT ?
                    """), arguments: [table.id, after, limit]
        ).map(DeviceRowKey.init)
    }

    /// - Parameters:
    ///   - keys: the rows to compare.
    ///   - pages: what the log says of them last.
    ///   - columns: the columns that are left out, by their names on the wire.
    func compare(
        _ keys: [DeviceRowKey], with pages: [DownloadPage], without columns: Set<String>
    ) throws -> Finding {
        let tables = try TableWriters(db)
        let localUntil = try DeviceStateTable(db: db).localUntil()
        var changes: [DeviceRowKey: (change: RemoteChange, page: Int)] = [:]
        for (number, page) in pages.enumerated() {
            for change in page.changes {
                guard let key = table.keyForm.key(fromWire: change.key) else { continue }
                changes[key] = (change, number)
            }
        }
        let busy = try busyKeys()
        var finding = Finding()
        for key in keys {
            // Values that a migration gave rows for this device only are not to be told apart.
            guard !busy.contains(key), let found = changes[key], let range = found.change.payload,
                let known = try tables.known.find(table, key), !known.row.isDeleted,
                known.row.version == found.change.version, found.change.sequence > localUntil,
                let isSame = try pages[found.page].body.withUnsafeBufferPointer({ bytes in
                    try isSame(
                        UnsafeBufferPointer(rebasing: bytes[range]), key, known, columns, tables)
                })
            else {
                finding.skipped += 1
                continue
            }
            finding.compared += 1
            if !isSame { finding.differing.insert(key) }
        }
        return finding
    }

    /// Rows with edits or downloaded versions that wait for something.
    private func busyKeys() throws -> Set<DeviceRowKey> {
        let sql = ["pending", "sent", "held", "lost"].map {
            "SELECT key FROM _sync_\($0) WHERE tbl = :id"
        }
        return Set(
            try String.fetchAll(
                db, sql: sql.joined(separator: " UNION "), arguments: ["id": table.id]
            ).map(DeviceRowKey.init))
    }

    /// - Returns: nil if the payload does not fit the table.
    private func isSame(
        _ payload: UnsafeBufferPointer<UInt8>, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        _ columns: Set<String>, _ tables: TableWriters
    ) throws -> Bool? {
        let local = table.keyForm.spelled(known.spelling, for: key)
        guard let here = try LocalRow(db: db, table: table).values(local) else { return false }
        let writer = try tables.writer(table)
        do {
            let there = try writer.spelledHere(
                ServerValues(db: db, tables: tables, table: table)
                    .values(payload, key, local: local, here: here))
            let spelled = try writer.spelledHere(here)
            return spelled.allSatisfy { column, value in
                columns.contains(column)
                    || there[column].map { FieldMerge.areSame($0, value) } ?? true
            }
        } catch is RowFlaw {
            return nil
        }
    }

    /// Queues the rows that the app's table has and that nothing is known of, or only that they
    /// were deleted: they may be the only copies.
    ///
    /// - Returns: the keys of those that can be sent, in order.
    func queueUnknown() throws -> [DeviceRowKey] {
        let rows = try DatabaseValue.fetchAll(
            db,
            sql: """
                SELECT \(table.quotedKey) FROM \(table.quotedName) AS t
                WHERE t.\(table.quotedKey) NOT IN (
                    SELECT \(KeyForm.spelledSQL(in: "r")) FROM _sync_rows r
                    WHERE r.tbl = :id AND r.deleted = 0)
                  AND t.\(table.quotedKey) NOT IN (
                    SELECT \(KeyForm.spelledSQL(in: "p")) FROM _sync_pending p WHERE p.tbl = :id)
                """, arguments: ["id": table.id])
        let log = TouchLog(db: db)
        var keys: [DeviceRowKey] = []
        for row in rows {
            guard let key = table.keyForm.key(fromLocal: row) else { continue }
            try log.add(row, in: table)
            keys.append(key)
        }
        return keys.sorted { $0.wire.utf8.lexicographicallyPrecedes($1.wire.utf8) }
    }
}
