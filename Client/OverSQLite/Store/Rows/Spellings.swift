import GRDB

/// How this device spells the keys of rows, for the references to them.
struct Spellings {
    private let db: Database
    private let statement: RawStatement

    /// A row with pending edits may have changed its spelling. Rows that are spelled as on the wire
    /// are not in the index that the second part reads, so it usually reads nothing.
    init(db: Database) throws {
        self.db = db
        statement = try RawStatement(
            db,
            """
            SELECT CASE
              WHEN EXISTS (
                SELECT 1 FROM _sync_pending WHERE tbl = ?1 AND key = ?2 AND op <> 'DELETE')
              THEN (SELECT local FROM _sync_pending WHERE tbl = ?1 AND key = ?2)
              ELSE (SELECT local FROM _sync_rows WHERE tbl = ?1 AND key = ?2 AND local IS NOT NULL)
            END
            """)
    }

    /// A key as this device spells it: the wire's spelling unless the row is here under another.
    func spelling(of key: DeviceRowKey, in reference: KeyReference) throws -> DatabaseValue {
        // Only texts can be spelled in several ways.
        guard reference.form == .uuidText else { return reference.form.local(key) }
        statement.bind(integer: reference.tableID, at: 1)
        statement.bind(text: key.wire, at: 2)
        let found = try statement.first(db) { DatabaseValue(sqliteStatement: $0, index: 0) }
        return reference.form.spelled(found ?? .null, for: key)
    }
}

extension KeyReference {
    /// The key that a column holds, whatever its spelling; nil if it holds none, or if the key has
    /// one spelling alone.
    func key(of value: DatabaseValue) -> DeviceRowKey? {
        switch (form, value.storage) {
        case (.text, _), (.integer, _): nil
        case (_, .string(let text)): form.key(fromWire: text)
        case (_, .blob(let data)) where data.count == 16: KeyForm.uuidBlob.key(fromLocal: value)
        default: nil
        }
    }
}
