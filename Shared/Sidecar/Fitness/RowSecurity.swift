import Postgres

/// Row-level security that hides rows of registered tables from those who must see them.
enum RowSecurity {
    /// A line for each table with policies that Upload's role is subject to, and one for each whose
    /// policies hold for the connection's role, too: its owner, under `FORCE ROW LEVEL SECURITY`.
    static func remarks(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [String] {
        var remarks: [String] = []
        for role in try await RoleGrants.installed(on: connection) where role.purpose == .upload {
            let name = quoted(role.name)
            for table in try await connection.run(
                RoleStatements.ReadRowSecurity(role: role.name)
            ).all() {
                remarks.append(
                    "\(table) has row-level security, which \(role.name) is subject to: say "
                        + "row_security: true in oversync.yaml, so that its policies know the "
                        + "user, or run ALTER ROLE \(name) BYPASSRLS")
            }
        }
        let forced = try await connection.run(RoleStatements.ReadForcedSecurity()).all()
        return remarks
            + forced.map { table, role in
                "\(table) has row-level security, which \(role) is subject to: oversync adopt and "
                    + "verify do not compare it, and triggers of your own that write to it fail; "
                    + "run them as a role with BYPASSRLS, or ALTER TABLE \(table) NO FORCE "
                    + "ROW LEVEL SECURITY"
            }
    }
}
