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

extension DatabaseError {
    /// Whether a constraint of the database refused a row. Then other rows may still be written.
    var isOfTheRow: Bool { resultCode.primaryResultCode == .SQLITE_CONSTRAINT }
}
