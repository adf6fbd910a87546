import Foundation
import GRDB
import GRDBSQLite

/// The versions this device last saw, and how rows spell their keys.
final class KnownRows {
    private let db: Database
    private let findStatement: RawStatement
    private let noteStatement: RawStatement
    /// By their number of rows: to look one up by its text is most of what noting takes outside SQLite.
    private var newStatements: [Int: RawStatement] = [:]

    init(db: Database) throws {
        self.db = db
        findStatement = try RawStatement(
            db, "SELECT version, deleted, local FROM _sync_rows WHERE tbl = ? AND key = ?")
        noteStatement = try RawStatement(
            db,
            """
            INSERT INTO _sync_rows (tbl, key, version, deleted, local) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (tbl, key) DO UPDATE
            SET version = excluded.version, deleted = excluded.deleted, local = excluded.local
            """)
    }

    /// A known row and its key's spelling; null where it is the wire's.
    struct Entry {
        let row: KnownRow
        let spelling: DatabaseValue
    }

    func find(_ table: TableSchema, _ key: RowKey) throws -> Entry? {
        findStatement.bind(integer: table.id, at: 1)
        findStatement.bind(text: key.wire, at: 2)
        return try findStatement.first(db) { row in
            Entry(
                row: KnownRow(
                    version: sqlite3_column_int64(row, 0),
                    isDeleted: sqlite3_column_int64(row, 1) != 0),
                spelling: DatabaseValue(sqliteStatement: row, index: 2))
        }
    }

    /// Notes a version and how the row spells its key.
    func note(_ table: TableSchema, _ key: RowKey, _ row: KnownRow, local: DatabaseValue) throws {
        noteStatement.bind(integer: table.id, at: 1)
        noteStatement.bind(text: key.wire, at: 2)
        noteStatement.bind(integer: row.version, at: 3)
        noteStatement.bind(integer: row.isDeleted ? 1 : 0, at: 4)
        if case .string(let text) = local.storage, text == key.wire {
            noteStatement.bindNull(at: 5)
        } else {
            noteStatement.bind(local, at: 5)
        }
        try noteStatement.run(db)
    }

    /// Parameters of each row of `newStatement`: table, key, version, and the key as the row spells it if otherwise.
    static let newParameters = 4

    /// Notes live rows of which nothing is known, up to the first that is: one search of the table instead of two.
    func newStatement(rows: Int) throws -> RawStatement {
        if let statement = newStatements[rows] { return statement }
        let row = "(?, ?, ?, 0, ?)"
        let all = Array(repeating: row, count: rows).joined(separator: ", ")
        let statement = try RawStatement(
            db,
            "INSERT OR FAIL INTO _sync_rows (tbl, key, version, deleted, local) VALUES \(all)")
        newStatements[rows] = statement
        return statement
    }

    /// Forgets a row the server turned out not to have.
    func forget(_ table: TableSchema, _ key: RowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_rows WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }
}
