import GRDB
import WireJSON

/// Values of columns that the server has and this app's schema does not (hazard H8).
///
/// They go back with every upload of the row, or an old app's edit would erase what a newer one wrote.
struct SetAsideColumns {
    let db: Database

    func store(_ object: [UInt8]?, _ table: TableSchema, _ key: RowKey) throws {
        guard let object else { return }
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_extra (tbl, key, payload) VALUES (?, ?, ?)
                ON CONFLICT (tbl, key) DO UPDATE SET payload = excluded.payload
                """
        ).execute(arguments: [table.id, key.wire, String(decoding: object, as: UTF8.self)])
    }

    /// The stored object; nil if the row has none.
    func object(_ table: TableSchema, _ key: RowKey) throws -> [UInt8]? {
        let statement = try db.cachedStatement(
            sql: "SELECT payload FROM _sync_extra WHERE tbl = ? AND key = ?")
        return try String.fetchOne(statement, arguments: [table.id, key.wire]).map {
            Array($0.utf8)
        }
    }

    /// Moves values into columns that the table has got meanwhile. Runs at start, as a sync write.
    func unpack(into table: TableSchema) throws {
        let rows = try Row.fetchAll(
            db, sql: "SELECT key, payload FROM _sync_extra WHERE tbl = ?", arguments: [table.id])
        let writer = try RowWriter(db, table)
        for row in rows {
            let key = RowKey(wire: row["key"])
            guard let known = try KnownRows(db: db).find(table, key), !known.row.isDeleted else {
                continue
            }
            let local = known.spelling.isNull ? table.keyForm.local(key) : known.spelling
            try ApplyMode(db: db).during {
                try unpack(
                    Array((row["payload"] as String).utf8), into: writer, key: key, local: local)
            }
        }
    }

    private func unpack(
        _ object: [UInt8], into writer: RowWriter, key: RowKey, local: DatabaseValue
    ) throws {
        let table = writer.table
        let names = try object.withUnsafeBufferPointer { try writer.values(of: $0) }
        guard !names.isEmpty else { return }
        let columns = table.columns.filter { names[$0.wireName] != nil && !$0.isKey }
        for column in columns {
            try db.execute(
                sql: """
                    UPDATE \(table.quotedName) SET \(column.name.quotedIdentifier) = ?
                    WHERE \(table.quotedKey) = ?
                    """,
                arguments: [names[column.wireName] ?? .null, local])
        }
    }
}

/// The mark that keeps the triggers from taking the library's own writes for the app's.
struct ApplyMode {
    let db: Database

    /// Runs `body` with the mark set. It is part of the transaction: if that fails, the mark goes with it.
    func during<Value>(_ body: () throws -> Value) throws -> Value {
        try db.cachedStatement(sql: "INSERT INTO _sync_applying (mode) VALUES (1)").execute()
        let value = try body()
        try db.cachedStatement(sql: "DELETE FROM _sync_applying").execute()
        return value
    }
}
