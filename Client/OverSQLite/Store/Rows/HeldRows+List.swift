import GRDB

/// Lists held rows for the app.
extension HeldRows {
    /// All held rows of the synced tables, by table and key.
    func all(_ catalog: DeviceCatalog) throws -> [HeldRow] {
        let tables = try TableWriters(db)
        return try MetadataRow.all(
            of: Self.name, db,
            sql: "SELECT tbl, key, payload, reason, cause FROM _sync_held ORDER BY tbl, key"
        ).compactMap { row in
            guard let table = catalog.table(id: try row.number("tbl")) else { return nil }
            let payload = try row.textIfAny("payload").map { Array($0.utf8) }
            let cause = try cause(row, isDeletion: payload == nil)
            var missing: HeldRow.Parent?
            if cause == .missingParent, let payload {
                missing = try missingParent(of: payload, in: table, catalog, tables)
            }
            return HeldRow(
                table: table.name, key: try row.text("key"), isDeletion: payload == nil,
                cause: cause,
                reason: try row.text("reason"), missing: missing)
        }
    }

    /// Older versions of this library have stored the reason alone.
    private func cause(_ row: MetadataRow, isDeletion: Bool) throws -> HeldRow.Cause {
        if let cause = try row.textIfAny("cause").flatMap(HeldRow.Cause.init) { return cause }
        return switch try row.text("reason") {
        case "its parent is missing": isDeletion ? .stillReferredTo : .missingParent
        case "an edit of this row was sent and is not answered yet": .unanswered
        case "the app's resolver failed": .unresolved
        default: .constraint
        }
    }

    private func missingParent(
        of payload: [UInt8], in table: TableSchema, _ catalog: DeviceCatalog,
        _ tables: TableWriters
    ) throws -> HeldRow.Parent? {
        let values = try? payload.withUnsafeBufferPointer {
            try tables.writer(table).values(of: $0)
        }
        for column in table.columns {
            guard let reference = column.reference, let value = values?[column.wireName],
                let parent = catalog.table(id: reference.tableID),
                let key = reference.form.key(fromLocal: value) ?? reference.key(of: value),
                try RespelledKeys(db: db).live([value], in: parent) == nil
            else { continue }
            return HeldRow.Parent(table: parent.name, key: key.wire)
        }
        return nil
    }
}
