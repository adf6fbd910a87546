import Foundation
import GRDB
import GRDBSQLite

/// `_sync_rows`, the versions this device last saw, and how rows spell their keys. No other file
/// writes it.
final class KnownRows {
    private let db: Database
    private let findStatement: RawStatement
    private let recordStatement: RawStatement
    /// By their number of rows: to look one up by its text is most of what noting takes outside
    /// SQLite.
    private var newStatements: [Int: RawStatement] = [:]

    init(db: Database) throws {
        self.db = db
        findStatement = try RawStatement(
            db, "SELECT version, deleted, local FROM _sync_rows WHERE tbl = ? AND key = ?")
        recordStatement = try RawStatement(
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

    func find(_ table: TableSchema, _ key: DeviceRowKey) throws -> Entry? {
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
    func record(_ table: TableSchema, _ key: DeviceRowKey, _ row: KnownRow, local: DatabaseValue)
        throws
    {
        recordStatement.bind(integer: table.id, at: 1)
        recordStatement.bind(text: key.wire, at: 2)
        recordStatement.bind(integer: row.version, at: 3)
        recordStatement.bind(integer: row.isDeleted ? 1 : 0, at: 4)
        recordStatement.bind(KeyForm.stored(local, for: key), at: 5)
        try recordStatement.run(db)
    }

    /// Parameters of each row of `newStatement`: table, key, version, and the key as the row spells
    /// it if otherwise.
    static let newParameters = 4

    /// Notes live rows of which nothing is known, up to the first that is: one search of the table
    /// instead of two.
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
    func forget(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_rows WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }
}

// MARK: - Many rows at once

extension KnownRows {
    /// Makes the row's version news when the feed brings it again.
    func forgetVersion(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.execute(
            sql: "UPDATE _sync_rows SET version = version - 1 WHERE tbl = ? AND key = ?",
            arguments: [table.id, key.wire])
    }

    /// Forgets rows that are no longer in a table made anew, but for those with edits.
    ///
    /// - Returns: whether there were any.
    func forgetMissing(in table: TableSchema) throws -> Bool {
        try db.execute(
            sql: """
                DELETE FROM _sync_rows
                WHERE deleted = 0 AND \(table.isMissingSQL(from: "_sync_rows"))
                  AND (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending)
                """)
        return db.changesCount > 0
    }

    /// Takes over what a reread has seen of rows: an older version, or nothing.
    func takeSeenVersions(in table: TableSchema) throws {
        try db.execute(
            sql: """
                UPDATE _sync_rows SET version = u.seen, deleted = u.gone FROM _sync_unseen u
                WHERE u.tbl = :id AND u.seen IS NOT NULL
                  AND _sync_rows.tbl = u.tbl AND _sync_rows.key = u.key;
                DELETE FROM _sync_rows WHERE (tbl, key) IN (
                  SELECT tbl, key FROM _sync_unseen WHERE tbl = :id AND seen IS NULL);
                """, arguments: ["id": table.id])
    }

    /// Forgets rows that a reread has not seen and that have edits. Should the app discard such an
    /// edit, the row goes: the server no longer has it.
    func forgetUnseenEdited(in table: TableSchema) throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_rows WHERE tbl = ? AND deleted = 0
                  AND (tbl, key) IN (SELECT tbl, key FROM _sync_unseen)
                  AND (tbl, key) IN (SELECT tbl, key FROM _sync_pending)
                """, arguments: [table.id])
    }

    func forgetAll() throws { try db.execute(sql: "DELETE FROM _sync_rows") }
}

extension TableSchema {
    /// SQL for the rows of the books that are not in the table. It names the books' columns in
    /// full: the app's table may have columns `key` and `local`.
    func isMissingSQL(from books: String) -> String {
        """
        tbl = \(id) AND NOT EXISTS (
          SELECT 1 FROM \(quotedName) t
          WHERE t.\(quotedKey) IS \(KeyForm.spelledSQL(in: books)))
        """
    }
}
