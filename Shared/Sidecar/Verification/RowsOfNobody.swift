import Model
import Postgres

/// How many rows of a business table are no user's: their owner column is NULL or empty, or, where the table has
/// none, the sidecar knows nobody who has them.
package struct RowsOfNobody: Hashable, Sendable, CustomStringConvertible {
    package let table: TableName
    package let count: Int64
    /// Nil for a table without an owner column.
    let ownerColumn: String?

    /// Nil if there are none.
    init?(of table: RegisteredTable, on connection: PostgresConnection) async throws(PostgresError)
    {
        let sql = Self.query(table)
        let statement = Statement(name: statementName("verify_nobody", for: sql), sql: sql)
        count = try await connection.rows(statement, of: Int64.self).one()
        guard count > 0 else { return nil }
        self.table = table.name
        ownerColumn = table.ownerColumn
    }

    private static func query(_ table: RegisteredTable) -> String {
        let condition =
            table.ownerColumn.map { "x.\(quoted($0)) IS NULL OR x.\(quoted($0))::text = ''" }
                ?? """
                NOT EXISTS (SELECT FROM sync.key_owner o
                    WHERE o.table_id = \(table.id) AND o.key = \(table.storedKey(of: "x")))
                """
        return "SELECT count(*) FROM \(table.name.quotedName) AS x WHERE \(condition)"
    }

    /// One line, with what to do about it.
    package var description: String {
        let advice =
            ownerColumn.map {
                "\(printable($0)) is NULL or empty: set it, and the user's devices get them"
            }
            ?? "oversync adopt \(table) --user USER gives them to a user"
        return "rows_of_nobody table=\(table) rows=\(count) (\(advice))"
    }
}
