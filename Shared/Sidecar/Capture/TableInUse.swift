import Model
import Postgres

/// A table that capture triggers were to be put on or taken off, and that others kept locked. All is as it was.
package struct TableInUse: Error, CustomStringConvertible {
    package let table: TableName
    /// `lockNotAvailable`, or `deadlockDetected`.
    package let cause: PostgresError
    /// The sessions that have locks on it, as far as they are still there; empty if none is.
    private let holders: String

    /// Nil for any other error.
    init?(_ cause: PostgresError, of table: TableName) {
        guard [.lockNotAvailable, .deadlockDetected].contains(cause.sqlState) else { return nil }
        self.init(cause, table, holders: "")
    }

    private init(_ cause: PostgresError, _ table: TableName, holders: String) {
        self.table = table
        self.cause = cause
        self.holders = holders
    }

    /// The same, with who has locks on the table now.
    func naming(holdersOn connection: PostgresConnection) async -> TableInUse {
        var bindings = Bindings()
        bindings.bind(table.quotedName)
        let command = Command(SidecarStatements.lockHolders, bindings)
        let found = try? await connection.rows(command) { columns throws(PostgresError) in
            try columns.next(String?.self)
        }.one()
        return TableInUse(cause, table, holders: (found ?? nil) ?? "")
    }

    package var description: String {
        let met =
            cause.sqlState == .deadlockDetected
            ? "two sessions waited for each other's locks" : "it stayed locked for too long"
        // Words of ours with names between them: only what is no plain text needs more.
        let bare = holders.filter { !" (),".contains($0) }
        let who =
            holders.isEmpty
            ? "" : ", by \(printable(bare) == bare ? holders : printable(holders))"
        return
            "\(table) is in use: \(met) (\(cause))\(who). No table was registered or changed; end or await "
            + "what uses it, then run oversync migrate again"
    }
}
