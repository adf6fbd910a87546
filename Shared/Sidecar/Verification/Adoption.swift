import Model
import Postgres

/// Brings the existing rows of a business table to the devices of their users (`oversync adopt`).
///
/// Online, in small transactions; run again after an interruption it goes on where it was.
package struct Adoption {
    /// Keys given an owner in one statement.
    private static let claimRows = 10_000

    /// Read and written alternately: the verifier's snapshot stays open while batches commit.
    private let reading: PostgresConnection
    private let writing: PostgresConnection

    package init(reading: PostgresConnection, writing: PostgresConnection) {
        self.reading = reading
        self.writing = writing
    }

    /// - Parameters:
    ///   - owner: for a table without an owner column, the user that gets the rows nobody has.
    ///   - leftOut: called with each row that devices cannot take, and each column that cannot be
    ///     compared.
    ///   - progress: called with the number of rows adopted so far.
    /// - Returns: how many changes were appended.
    package func adopt(
        _ name: TableName, owner: String?, leftOut: (Difference) -> Void = { _ in },
        progress: (Int64) -> Void
    ) async throws -> Int64 {
        let catalog = Catalog(tables: try await Catalog.readTables(on: writing))
        guard let table = catalog[name], table.mode == .table else {
            throw RegistrationError(
                "\(name) is not registered as a table; add it to oversync.yaml and run oversync migrate"
            )
        }
        for connection in [reading, writing] {
            if let hidden = try await HiddenRows(of: table, on: connection) {
                throw RegistrationError("\(name): \(hidden)")
            }
        }
        switch (table.ownerColumn, owner) {
        case (nil, let owner?): try await claim(table, for: owner)
        case (nil, nil):
            throw RegistrationError(
                "\(name) has no owner column: say with --user whose its rows are")
        case (let column?, .some):
            throw RegistrationError(
                "\(name).\(column) says whose each row is: --user does not apply")
        case (.some, nil): break
        }
        let repair = Repair(connection: writing, acceptsDeletes: false)
        var adopted: Int64 = 0
        _ = try await Verifier(connection: reading, table: name).run { differences in
            if let absent = differences.first(where: { $0.kind == .notThere }) {
                throw RegistrationError("\(absent): \(absent.kind.advice)")
            }
            for difference in differences
            where [.unsendableRow, .notCompared].contains(difference.kind) {
                leftOut(difference)
            }
            adopted += try await repair.mend(differences.filter { $0.kind != .staleState })
            progress(adopted)
        }
        return adopted
    }

    private func claim(_ table: RegisteredTable, for user: String) async throws {
        var users = ArrayBinding(of: .text)
        users.append(user)
        var scope = Bindings()
        scope.bind(users)
        try await writing.run(Command(LogChecks.lockScopes, scope))
        let key = table.storedKey(of: "t")
        let sql = """
            INSERT INTO sync.key_owner (table_id, key, scope_id)
            SELECT \(table.id), \(key), s.scope_id
            FROM \(table.name.quotedName) AS t, sync.scope s
            WHERE s.user_id = $1 AND NOT EXISTS (
                SELECT FROM sync.key_owner o WHERE o.table_id = \(table.id) AND o.key = \(key))
            LIMIT \(Self.claimRows)
            ON CONFLICT DO NOTHING
            """
        let statement = Statement(
            name: statementName("adopt_claim", for: sql), sql: sql, parameters: [.text])
        var bindings = Bindings()
        bindings.bind(user)
        while try await writing.run(Command(statement, bindings)).affectedRows > 0 {}
    }
}
