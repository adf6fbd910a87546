import Postgres

/// A privilege of one role.
package struct RoleGrant: Hashable, Comparable, Sendable {
    package let role: String
    package let privilege: Privilege

    package static func < (a: RoleGrant, b: RoleGrant) -> Bool {
        (a.role, a.privilege) < (b.role, b.privilege)
    }
}

/// What becomes of the rights of roles that are no longer on record, such as the one before a
/// rename.
enum FormerRoles {
    /// They stay for now.
    case keep
    /// They are revoked, but for these roles.
    case revoke(except: Set<String>)

    /// - Parameter current: the roles on record.
    func keeps(_ role: String, current: Set<String>) -> Bool {
        if current.contains(role) { return false }
        return switch self {
        case .keep: true
        case .revoke(let spared): spared.contains(role)
        }
    }
}

/// Grants what the roles in the database's records need, and revokes what they need no longer.
///
/// Registering a table ends with this, so that no service meets a table which it may not use.
package enum RoleGrants {
    /// Inside the caller's transaction. Does nothing in a database whose records name no role.
    ///
    /// - Parameter former: whether roles that are no longer on record lose their rights.
    /// - Throws: `RoleError` where the connection's role cannot grant; `PostgresError`.
    static func apply(
        _ tables: [RegisteredTable], former: FormerRoles = .keep, in run: MigrationRun
    ) async throws {
        let connection = run.connection
        let roles = try await installed(on: connection)
        guard !roles.isEmpty else { return }
        if let lost = roles.first(where: { !$0.exists }) {
            throw RoleError(
                "the role \(lost.name) does not exist on this server: run oversync migrate, which creates it"
            )
        }
        let needed = needs(of: roles, tables)
        try await revoke(
            keeping: Set(needed), former, current: Set(roles.map(\.name)), in: run)
        let missing = try await missing(needed, on: connection)
        guard !missing.isEmpty else { return }
        try await run.execute(
            script(missing.map { statement("GRANT", $0, "TO") }),
            for: "Rights that the services' roles lack")
        try await run.execute(
            BoundStatement(RoleStatements.recordGrants, values(of: missing)),
            for: "Records these grants, so that a later run can revoke them")
        // PostgreSQL only warns where the connection's role may grant less than it was asked to.
        if let failed = try await self.missing(missing, on: connection).first {
            throw RoleError(
                "\(failed.privilege) could not be granted to \(failed.role): connect as the owner")
        }
    }

    /// What the roles of a database lack, for `oversync migrate status`.
    package static func missing(
        on connection: PostgresConnection
    ) async throws -> [RoleGrant] {
        let tables = try await Catalog.readTables(on: connection)
        let roles = try await installed(on: connection)
        return try await missing(needs(of: roles, tables), on: connection)
    }

    /// The roles that the database's records name.
    package static func installed(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [InstalledRole] {
        try await connection.run(RoleStatements.ReadInstalled()).all().compactMap { $0 }
    }

    private static func needs(
        of roles: [InstalledRole], _ tables: [RegisteredTable]
    ) -> [RoleGrant] {
        let needed = Set(
            roles.flatMap { role in
                let business = tables.filter(\.isWritten).flatMap {
                    BusinessPrivileges.of($0, for: role.purpose).flatMap(\.grants)
                }
                return (role.purpose.sidecarPrivileges + business)
                    .map { RoleGrant(role: role.name, privilege: $0) }
            })
        return needed.sorted()
    }

    private static func missing(
        _ grants: [RoleGrant], on connection: PostgresConnection
    ) async throws(PostgresError) -> [RoleGrant] {
        try await connection.run(RoleStatements.FindMissing(grants: grants)).all().map {
            grants[Int($0) - 1]
        }
    }

    /// Only what was granted here: what an operator has granted by hand is the operator's.
    private static func revoke(
        keeping needed: Set<RoleGrant>, _ former: FormerRoles, current: Set<String>,
        in run: MigrationRun
    ) async throws {
        var granted = try await run.connection.run(RoleStatements.ReadGranted())
        var obsolete: [RoleGrant] = []
        var statements: [String] = []
        while let row = try granted.next() {
            guard let privilege = row.privilege else { continue }
            let grant = RoleGrant(role: row.role, privilege: privilege)
            if needed.contains(grant) || former.keeps(grant.role, current: current) { continue }
            obsolete.append(grant)
            if row.isRevocable { statements.append(statement("REVOKE", grant, "FROM")) }
        }
        guard !obsolete.isEmpty else { return }
        if !statements.isEmpty {
            try await run.execute(
                script(statements), for: "Rights that are no longer needed")
        }
        try await run.execute(
            BoundStatement(RoleStatements.forgetGrants, values(of: obsolete)),
            for: "Removes the records of grants that are revoked or have gone")
    }

    private static func script(_ statements: [String]) -> String {
        statements.map { "\($0);" }.joined(separator: "\n")
    }

    private static func statement(_ verb: String, _ grant: RoleGrant, _ link: String) -> String {
        let (privilege, role) = (grant.privilege, quoted(grant.role))
        guard privilege.kind == .database else {
            return
                "\(verb) \(privilege.right) ON \(privilege.kind.rawValue.uppercased()) \(privilege.object) \(link) \(role)"
        }
        let text =
            "\(verb) \(privilege.right) ON DATABASE %I \(link) \(role.replacing("%", with: "%%"))"
        return "DO $do$ BEGIN EXECUTE format(\(literal(text)), current_database()); END $do$"
    }

    /// In the order of the statements' parameters: role, kind, object, right.
    private static func values(of grants: [RoleGrant]) -> [BoundStatement.Value] {
        [
            .texts(grants.map(\.role)), .texts(grants.map(\.privilege.kind.rawValue)),
            .texts(grants.map(\.privilege.object)), .texts(grants.map(\.privilege.right)),
        ]
    }
}
