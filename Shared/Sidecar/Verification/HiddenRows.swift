import Model
import Postgres

/// A table whose rows the connection's role does not see all of: a comparison would take them for
/// gone.
struct HiddenRows: CustomStringConvertible {
    private static let statement = Statement(
        name: "verify_hidden_rows",
        sql: """
            SELECT current_user::text WHERE row_security_active(to_regclass($1)::oid)
            """, parameters: [.text])

    private let role: String

    /// Nil for a table that the role sees as a whole.
    init?(of table: RegisteredTable, on connection: PostgresConnection) async throws(PostgresError)
    {
        var bindings = Bindings()
        bindings.bind(table.name.quotedName)
        let command = Command(Self.statement, bindings)
        guard let role = try await connection.rows(command, of: String.self).first() else {
            return nil
        }
        self.role = role
    }

    var description: String {
        "row-level security hides its rows from \(role): connect as a role with BYPASSRLS"
    }
}
