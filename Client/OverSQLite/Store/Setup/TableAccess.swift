import GRDB

/// The values of `_sync_tables.access`: whether the server lets the user read a table.
enum TableAccess: Int, DatabaseValueConvertible {
    /// Also where the server does not say.
    case open = 0
    /// No page has its rows.
    case closed = 1
    /// While the table was closed, the server began a new history or lost the end of its own.
    case closedSinceOldHistory = 2
    /// It was opened, and is being read up to the place that the other tables have reached.
    case opening = 3
    /// The server did not have it when it was asked. The rows stay: they may be the only ones. No
    /// page has had rows of it, so it is read from the log's start once the server has it.
    case unserved = 4

    /// The two that mean that the server does not let the user read the table, as a list for SQL.
    static let closedSQL = "(\(closed.rawValue), \(closedSinceOldHistory.rawValue))"
}
