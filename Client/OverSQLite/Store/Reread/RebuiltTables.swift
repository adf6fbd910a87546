import GRDB

/// Tables that the app has rebuilt. A row that differs from the server's version that this device
/// had is an edit, as if the app had written it with UPDATE.
///
/// The log is read again for it. So an edit that another device has already sent, as one that ran
/// the same migration, is found there and not sent again.
struct RebuiltTables {
    private let db: Database
    private let tables: TableWriters
    private let ids: Set<Int64>

    init(db: Database, tables: TableWriters, catalog: DeviceCatalog) throws {
        self.db = db
        self.tables = tables
        ids = try SyncedTables(db: db).unchecked().intersection(catalog.tables.map(\.id))
    }

    func has(_ table: TableSchema) -> Bool { ids.contains(table.id) }

    /// Compares a row with the server's, whose version is known here. Runs under apply mode.
    ///
    /// An edit goes into the queue at once: the same page may bring a later version.
    ///
    /// - Returns: whether there was an edit.
    func meet(
        _ change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        _ bytes: UnsafeBufferPointer<UInt8>
    ) throws -> Bool {
        guard let range = change.payload, !known.row.isDeleted else { return false }
        let payload = UnsafeBufferPointer(rebasing: bytes[range])
        let local = table.keyForm.spelled(known.spelling, for: key)
        let reader = LocalRow(db: db, table: table)
        guard let here = try reader.values(local) else { return false }
        let kept = try SetAsideColumns(db: db).exact(table, key)
        var difference = Difference(here: here, there: here, kept: kept)
        do {
            // The table itself says best what the server's values are in its columns.
            try db.inSavepoint {
                try tables.upsert(
                    payload, version: change.version, known.term, table, key, local: local)
                difference = Difference(
                    here: here, there: try reader.values(local) ?? here, kept: kept)
                return difference.isEdit ? .rollback : .commit
            }
        } catch is RowFlaw { return false } catch let error as DatabaseError
            where error.isOfTheRow
        {
            // Another row here may have a unique value of the server's row, or the table asks for
            // more than it did.
            let server = ServerValues(db: db, tables: tables, table: table)
            difference = Difference(
                here: here, there: try server.values(payload, key, local: local, here: here),
                kept: kept)
        }
        guard difference.isEdit else { return false }
        try tables.setAsideUnknown(Array(payload), table, key)
        try takeCopied(difference, table, local: local)
        let number = try TouchLog(db: db).takeNumber(in: table)
        try PendingQueue(db: db).add(
            PendingRow(
                sequence: number, tableID: table.id, key: key, local: local, operation: .update,
                base: known.row.version, image: RowImage.text(of: difference.there),
                revision: number),
            form: table.keyForm)
        return true
    }

    /// Writes the server's values of columns that nobody edited, unless a constraint refuses them.
    private func takeCopied(
        _ difference: Difference, _ table: TableSchema, local: DatabaseValue
    ) throws {
        if difference.copied.isEmpty { return }
        do {
            try db.inSavepoint {
                // The whole row, because SQLite checks NOT NULL before it finds the row.
                try tables.writer(table).upsert(
                    difference.here.merging(difference.copied) { $1 }, local: local)
                return .commit
            }
        } catch let error as DatabaseError where error.isOfTheRow {}
    }

    /// Runs when the log has been read to its end.
    func finish() throws {
        for id in ids { try SyncedTables(db: db).setRebuilding(.none, of: id) }
    }
}

extension RebuiltTables {
    /// How a row here differs from the server's.
    fileprivate struct Difference {
        let here: RowValues
        let there: RowValues
        /// The server's values where the one here was copied from a column that could not hold the
        /// server's exactly.
        let copied: RowValues
        /// Whether other values differ, too.
        let isEdit: Bool

        /// - Parameter kept: what the columns could not hold exactly.
        init(here: RowValues, there: RowValues, kept: [String: SetAsideColumns.KeptValue]) {
            (self.here, self.there) = (here, there)
            let differing = there.filter { name, server in
                here[name].map { !FieldMerge.areSame($0, server) } ?? false
            }
            copied = differing.filter { Self.isSameText(here[$0.key], as: kept[$0.key]) }
            isEdit = copied.count < differing.count
        }

        /// Whether a value was copied from a column that could not hold the server's exactly.
        private static func isSameText(
            _ value: DatabaseValue?, as kept: SetAsideColumns.KeptValue?
        ) -> Bool {
            guard let value, let before = kept.flatMap({ SQLLiteral.value(of: $0.literal) }) else {
                return false
            }
            return text(value) == text(before)
        }

        private static func text(_ value: DatabaseValue) -> String {
            if case .string(let text) = value.storage { return text }
            return SQLLiteral.text(of: value)
        }
    }
}
