import GRDB

/// Triggers of the app's run for the server's rows, too. What they do to such a row is not passed
/// over in silence.
extension RowWriter {
    /// Whether the app has its own triggers on the table. They would inherit the OR clause, and
    /// with it the way a failing statement inside them is handled.
    static func hasAppTriggers(_ db: Database, _ table: TableSchema) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                SELECT 1 FROM (
                  SELECT name, type, tbl_name FROM sqlite_master
                  UNION ALL SELECT name, type, tbl_name FROM sqlite_temp_master)
                WHERE type = 'trigger' AND lower(tbl_name) = lower(?)
                  AND name NOT GLOB '_sync_[0-9]*_*' LIMIT 1
                """)
        return try Int.fetchOne(statement, arguments: [table.name]) != nil
    }

    private static let leftOut = DatabaseError(
        resultCode: .SQLITE_CONSTRAINT_TRIGGER,
        message: "a trigger of the app's leaves the row out: RAISE(IGNORE)")

    /// A BEFORE trigger with RAISE(IGNORE) leaves a row out without an error.
    func expectWritten() throws {
        if db.changesCount == 0 { throw Self.leftOut }
    }

    /// It may keep one in the same way.
    func expectDeleted(_ local: DatabaseValue) throws {
        let statement = try db.cachedStatement(
            sql: "SELECT 1 FROM \(table.quotedName) WHERE \(table.quotedKey) = ?")
        if try Int.fetchOne(statement, arguments: [local]) != nil { throw Self.leftOut }
    }

    /// Notes the columns that a trigger has given other values than the server's.
    func noteAltered(
        _ row: ReadRow, _ local: DatabaseValue, _ payload: UnsafeBufferPointer<UInt8>
    ) throws {
        guard let here = try LocalRow(db: db, table: table).values(local) else { return }
        for (value, target) in zip(row.values, row.plan.targets) {
            guard let column = target?.column, !column.isKey, !altered.contains(column.name),
                let now = here[column.wireName]
            else { continue }
            let sent = try stored(value.value(in: payload), in: column)
            if !FieldMerge.areSame(sent, now) { altered.insert(column.name) }
        }
    }
}

extension SyncNotice {
    /// A column in which a trigger changes rows of the server's.
    static func altered(_ column: String) -> SyncNotice {
        SyncNotice(
            .alteredRow, of: column,
            "a trigger of the app's gives rows of the server's another value here, which is not "
                + "sent: this device shows other values than the server has",
            advice: "let the trigger pass over rows that sync writes: "
                + "WHEN NOT EXISTS (SELECT 1 FROM _sync_applying)"
        )
    }
}
