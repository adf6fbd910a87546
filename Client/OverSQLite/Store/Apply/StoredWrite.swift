import GRDB

/// What the server has stored of a version that this device wrote: perhaps a rounded number, a
/// default, or what a trigger made of the row. Runs under apply mode.
///
/// A row that this database does not take like that stays as it is and is held. If edits wait on
/// top of it, it is not: their version replaces it.
struct StoredWrite {
    let db: Database
    let tables: TableWriters

    /// Brings a confirmed row in line with what is stored.
    ///
    /// If edits wait on top of that version, columns that were edited keep the edit, and the stored
    /// row is what the edits are based on. As the row that is sent has changed then, it goes out
    /// under a fresh change id.
    ///
    /// - Parameters:
    ///   - local: the key as the row spells it.
    ///   - pending: the edits since.
    /// - Returns: whether the row was changed.
    func take(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue,
        pending: PendingRow?
    ) throws -> Bool {
        guard let pending else {
            switch try attempt(row, table, key, local: local) {
            case .taken(let isChanged):
                if tables.hasHeld { try HeldRows(db: db).releaseStored(table, key) }
                return isChanged
            case .refused(let cause, let reason):
                try hold(row, table, key, cause, reason)
                return false
            }
        }
        guard pending.base == row.version else { return false }
        let before = try LocalRow(db: db, table: table).values(pending.local)
        var isChanged = false
        if pending.operation != .delete {
            isChanged = try take(
                row, table, key, local: pending.local, since: RowImage.values(of: pending.image))
        }
        if let image = try image(row, table) {
            try PendingQueue(db: db).setImage(table, key, image)
        }
        if isChanged {
            try TouchLog(db: db).add(
                pending.local, in: table, image: before.map(RowImage.text(of:)))
        }
        return isChanged
    }

    /// Brings the columns in line that were not edited since the row was sent.
    ///
    /// - Parameters:
    ///   - local: the key as the row spells it.
    ///   - base: the row as it was sent; nil if that is not known: then it stays as it is.
    /// - Returns: whether the row was changed.
    @discardableResult
    func take(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue,
        since base: RowValues?
    ) throws -> Bool {
        guard var base else { return false }
        let result = try attempt {
            base = try tables.writer(table).spelledHere(base)
            base[table.key.wireName] = local
            return try write(row, table, key, local: local) { _ in base }
        }
        guard case .taken(let isChanged) = result else { return false }
        return isChanged
    }

    /// What became of a row.
    enum Outcome {
        case taken(isChanged: Bool)
        /// This database refuses the row, and nothing was written.
        case refused(HeldRow.Cause, String)
    }

    /// Writes a row that nobody has edited since.
    func attempt(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue
    ) throws -> Outcome {
        try attempt { try write(row, table, key, local: local) { $0 } }
    }

    /// Holds the row until this database takes it, or its next version comes.
    func hold(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, _ cause: HeldRow.Cause,
        _ reason: String
    ) throws {
        try HeldRows(db: db).hold(
            table, key, row, cause, reason, isStored: true)
        tables.hasHeld = true
    }

    /// The row of that version as a base; nil if it cannot be read, which only makes a later merge
    /// coarser.
    func image(_ row: RemoteRow, _ table: TableSchema) throws -> String? {
        guard let payload = row.payload else { return nil }
        let writer = try tables.writer(table)
        let values = payload.withUnsafeBufferPointer { try? writer.values(of: $0) }
        return values.map(RowImage.text(of:))
    }

    /// - Parameter base: the row as it was sent, given the row as it is here.
    private func write(
        _ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, local spelling: DatabaseValue,
        since base: (RowValues) -> RowValues
    ) throws -> Bool {
        let writer = try tables.writer(table)
        guard let payload = row.payload,
            let local = try LocalRow(db: db, table: table).values(spelling)
                .map(writer.spelledHere)
        else { return false }
        var stored = try payload.withUnsafeBufferPointer { try writer.values(of: $0) }
        stored[table.key.wireName] = spelling
        stored =
            try ConflictResolver(db: db, tables: tables)
            .sameAsStored(stored, local, table, key, writer.inexact) ?? stored
        let merge = FieldMerge(base: base(local), local: local, server: stored)
        guard let merged = merge.mergedRow(.client)?.values else { return false }
        let isChanged = merged.contains { column, value in
            local[column].map { !FieldMerge.areSame($0, value) } ?? false
        }
        if isChanged {
            try writer.upsert(merged, local: spelling)
            tables.rememberChange(in: table)
        }
        try tables.keepExact(
            of: payload, table, key, local: spelling, merged: merged, server: stored)
        try tables.setAsideUnknown(payload, table, key)
        return isChanged
    }

    private func attempt(_ body: () throws -> Bool) throws -> Outcome {
        var isChanged = false
        do {
            try db.inSavepoint {
                isChanged = try body()
                return .commit
            }
        } catch let flaw as RowFlaw {
            return .refused(.unreadable, flaw.description)
        } catch let error as DatabaseError where error.isOfTheRow {
            return .refused(
                .constraint, error.message ?? "it violates a constraint of this database")
        }
        return .taken(isChanged: isChanged)
    }
}
