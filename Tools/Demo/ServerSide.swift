import OperatorKit
import Postgres

/// The business tables in PostgreSQL, read with plain SQL by somebody who knows nothing of the sync service.
struct ServerSide {
    let database: String
    let schema: String

    /// The digest of each table of one user.
    func digests(user: String) async throws -> [String: TableDigest] {
        try await withConnection(to: database) { connection in
            var digests: [String: TableDigest] = [:]
            for table in DemoTables.compared {
                let columns = table.columns.map { "\($0)::text" }.joined(separator: ", ")
                var bindings = Bindings()
                bindings.bind(user)
                let statement = Statement(
                    name: "demo_\(table.name)",
                    sql: "SELECT \(columns) FROM \(schema).\(table.name) WHERE owner_id = $1",
                    parameters: [.text])
                let command = Command(statement, bindings)
                let width = table.columns.count
                let rows = try await connection.rows(command) { columns throws(PostgresError) in
                    var values: [String?] = []
                    for _ in 0..<width { values.append(try columns.next(String?.self)) }
                    return values
                }.all()
                digests[table.name] = TableDigest(rows.sorted { ($0[0] ?? "") < ($1[0] ?? "") })
            }
            return digests
        }
    }
}
