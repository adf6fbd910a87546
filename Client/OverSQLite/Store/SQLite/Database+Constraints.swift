import GRDB
import GRDBSQLite

extension Database {
    /// Whether a row written so far refers to a missing parent. Foreign keys are deferred while
    /// pages are applied, and SQLite counts the open ones, so this costs nothing.
    var hasOpenForeignKeys: Bool {
        var open: Int32 = 0
        var highest: Int32 = 0
        sqlite3_db_status(sqliteConnection, SQLITE_DBSTATUS_DEFERRED_FKS, &open, &highest, 0)
        return open != 0
    }
}

extension Database {
    /// Expects that an error has ended its statement alone. A trigger of the app's with
    /// RAISE(ROLLBACK) ends the transaction: what was written in it is gone, the mark that the
    /// library writes, too, and what would be written now would count as the app's.
    ///
    /// - Parameter message: SQLite's words for the error.
    /// - Throws: an error that is not of a row, if there is no transaction any more.
    func expectTransaction(after message: String?) throws {
        guard sqlite3_get_autocommit(sqliteConnection) != 0 else { return }
        throw DatabaseError(
            resultCode: .SQLITE_ABORT_ROLLBACK,
            message: "\(message ?? "an error") has rolled back the rows of a whole page: use "
                + "RAISE(ABORT) in triggers on synced tables, which refuses one row")
    }
}

extension DatabaseError {
    /// Whether a constraint of the database refused a row. Then other rows may still be written.
    var isOfTheRow: Bool { resultCode.primaryResultCode == .SQLITE_CONSTRAINT }
}
