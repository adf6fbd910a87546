import Digests
import Foundation
import GRDB
import GRDBSQLite

/// `_sync_rows`, the versions that this device last saw, what they add to digests, and how rows
/// spell their keys. No other file writes it.
final class KnownRows {
    private let db: Database
    private let findStatement: RawStatement
    private let recordStatement: RawStatement
    /// Statements by their number of rows. Looking a statement up by its text would take most of
    /// the time that recording spends outside SQLite.
    private var newStatements: [Int: RawStatement] = [:]

    /// The bounds of what a row adds to its table's digest.
    static let terms = 0...RowTerm.mask

    init(db: Database) throws {
        self.db = db
        findStatement = try RawStatement(
            db, "SELECT version, deleted, local, term FROM _sync_rows WHERE tbl = ? AND key = ?")
        recordStatement = try RawStatement(
            db,
            """
            INSERT INTO _sync_rows (tbl, key, version, deleted, local, term)
            VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (tbl, key) DO UPDATE
            SET version = excluded.version, deleted = excluded.deleted, local = excluded.local,
              term = excluded.term
            """)
    }

    struct Entry {
        let row: KnownRow
        /// How the row spells its key; null if it is the wire's spelling.
        let spelling: DatabaseValue
        /// What that version adds to its table's digest; nil if that is not known, and for a
        /// deletion.
        let term: Int64?
    }

    func find(_ table: TableSchema, _ key: DeviceRowKey) throws -> Entry? {
        findStatement.bind(integer: table.id, at: 1)
        findStatement.bind(text: key.wire, at: 2)
        return try findStatement.first(db) { row in
            let isDeleted = try Self.number(row, 1, "deleted", in: 0...1) == 1
            let spelling = DatabaseValue(sqliteStatement: row, index: 2)
            guard KeyForm.mayBe(spelling, spellingOf: key) else {
                throw SyncError.damagedMetadata("_sync_rows.local does not spell the key")
            }
            let hasTerm = sqlite3_column_type(row, 3) != SQLITE_NULL
            return Entry(
                row: KnownRow(
                    version: try Self.number(row, 0, "version", in: ProtocolNumber.range),
                    isDeleted: isDeleted),
                spelling: spelling,
                term: hasTerm ? try Self.number(row, 3, "term", in: Self.terms) : nil)
        }
    }

    /// As ``MetadataRow`` reads a number, for the one query that runs for each row of a page.
    private static func number(
        _ row: OpaquePointer, _ index: Int32, _ column: StaticString, in range: ClosedRange<Int64>
    ) throws -> Int64 {
        let number = sqlite3_column_int64(row, index)
        guard sqlite3_column_type(row, index) == SQLITE_INTEGER, range.contains(number) else {
            throw SyncError.damagedMetadata(
                "_sync_rows.\(column) is not an integer between \(range.lowerBound) and "
                    + "\(range.upperBound)")
        }
        return number
    }

    /// Records a version and how the row spells its key.
    ///
    /// - Parameter term: what that version adds to its table's digest; nil if that is not known.
    func record(
        _ table: TableSchema, _ key: DeviceRowKey, _ row: KnownRow, local: DatabaseValue,
        term: Int64?
    ) throws {
        recordStatement.bind(integer: table.id, at: 1)
        recordStatement.bind(text: key.wire, at: 2)
        recordStatement.bind(integer: row.version, at: 3)
        recordStatement.bind(integer: row.isDeleted ? 1 : 0, at: 4)
        recordStatement.bind(KeyForm.stored(local, for: key), at: 5)
        if let term, !row.isDeleted {
            recordStatement.bind(integer: term, at: 6)
        } else {
            recordStatement.bindNull(at: 6)
        }
        try recordStatement.run(db)
    }

    /// The parameters per row of `newStatement`: table, key, version, the key's spelling if it
    /// differs from the wire's, and the term.
    static let newParameters = 5

    /// Records rows about which nothing is known. Stops at the first row that is known. This
    /// searches the table once per row instead of twice.
    func newStatement(rows: Int) throws -> RawStatement {
        if let statement = newStatements[rows] { return statement }
        let row = "(?, ?, ?, 0, ?, ?)"
        let all = Array(repeating: row, count: rows).joined(separator: ", ")
        let statement = try RawStatement(
            db,
            "INSERT OR FAIL INTO _sync_rows (tbl, key, version, deleted, local, term) VALUES \(all)"
        )
        newStatements[rows] = statement
        return statement
    }

    /// Forgets a row that the server turned out not to have.
    func forget(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_rows WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }
}

// MARK: - Terms

extension KnownRows {
    /// Records what the version that is known adds to its table's digest.
    func setTerm(
        _ table: TableSchema, _ key: DeviceRowKey, version: Int64, _ term: Int64?
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_rows SET term = ?
                WHERE tbl = ? AND key = ? AND version = ? AND deleted = 0
                """
        ).execute(arguments: [term, table.id, key.wire, version])
    }
}

// MARK: - Many rows at once

extension KnownRows {
    /// Makes the row's version count as new when the log brings it again.
    func forgetVersion(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.execute(
            sql: """
                UPDATE _sync_rows SET version = max(version - 1, 0), term = NULL
                WHERE tbl = ? AND key = ?
                """,
            arguments: [table.id, key.wire])
    }

    /// Forgets rows that were not copied when the table was rebuilt, except rows with pending
    /// edits.
    ///
    /// - Returns: whether there were any.
    func forgetLeftOut(in table: TableSchema) throws -> Bool {
        try db.execute(
            sql: """
                DELETE FROM _sync_rows
                WHERE deleted = 0 AND \(table.isLeftOutSQL(from: "_sync_rows"))
                  AND (tbl, key) NOT IN (SELECT tbl, key FROM _sync_pending)
                """)
        return db.changesCount > 0
    }

    /// Treats rows as known if only the log still says that the app has deleted them. They
    /// count as version 0, so that their deletion is sent, and meets what the server has as a
    /// conflict.
    func assumeDeleted(in table: TableSchema) throws {
        let keys = try DatabaseValue.fetchAll(db, sql: TouchLog.deletedSQL(in: table))
        for local in keys {
            guard let key = table.keyForm.key(fromLocal: local), try find(table, key) == nil,
                try RespelledKeys(db: db).live([local], in: table) == nil
            else { continue }
            try record(
                table, key, KnownRow(version: 0, isDeleted: false), local: local, term: nil)
        }
    }

    /// Whether any row of the table is known.
    func hasAny(of table: TableSchema) throws -> Bool {
        try Int.fetchOne(
            db, sql: "SELECT 1 FROM _sync_rows WHERE tbl = ? AND deleted = 0 LIMIT 1",
            arguments: [table.id]) != nil
    }

    /// Takes over what a reread has found of rows: an older version, or nothing. A row that is
    /// deleted here counts as one that the server has, in version 0 where it has found nothing, so
    /// that its deletion is sent again.
    func takeSeenVersions(in table: TableSchema) throws {
        try db.execute(
            sql: """
                UPDATE _sync_rows SET version = u.seen, term = NULL,
                  deleted = CASE WHEN deleted THEN 0 ELSE u.gone END
                FROM _sync_unseen u
                WHERE u.tbl = :id AND u.seen IS NOT NULL
                  AND _sync_rows.tbl = u.tbl AND _sync_rows.key = u.key;
                DELETE FROM _sync_rows WHERE deleted = 0 AND version > 0 AND (tbl, key) IN (
                  SELECT tbl, key FROM _sync_unseen WHERE tbl = :id AND seen IS NULL);
                UPDATE _sync_rows SET version = 0, deleted = 0 WHERE (tbl, key) IN (
                  SELECT tbl, key FROM _sync_unseen WHERE tbl = :id AND seen IS NULL);
                """, arguments: ["id": table.id])
    }

    /// Forgets rows that a reread has not found and that have pending edits. If the app discards
    /// such an edit, the row is removed, because the server no longer has it.
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
