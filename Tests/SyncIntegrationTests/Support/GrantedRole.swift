import Foundation
import Postgres
import Testing

/// A role that may do exactly what it was granted: nothing by way of PUBLIC, nothing as an owner.
struct GrantedRole {
    let name: String
    private let database: SyncedDatabase

    /// Functions that the capture triggers call as the role that writes. Trigger functions
    /// themselves need no privilege.
    private static let captureFunctions = [
        "cascades_into", "is_upload_statement", "lock_scopes", "wire_columns", "refuse_row",
    ]

    /// Calls `body` with a role of its own for the database.
    static func with(
        in database: SyncedDatabase, granting privileges: [RequiredPrivileges],
        _ body: (GrantedRole) async throws -> Void
    ) async throws {
        let role = GrantedRole(
            name: "role_\(UInt64.random(in: 0 ... .max))", database: database)
        // Roles are the cluster's, and outlive the database.
        try await database.execute(
            """
            CREATE ROLE \(role.name);
            REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sync FROM PUBLIC;
            """)
        let outcome: Result<Void, any Error>
        do {
            for privilege in privileges { try await role.grant(privilege) }
            outcome = .success(try await body(role))
        } catch {
            outcome = .failure(error)
        }
        try await database.execute("RESET ROLE; DROP OWNED BY \(role.name); DROP ROLE \(role.name)")
        try outcome.get()
    }

    /// What writing into registered tables needs while capture runs as the writer.
    func grantCapture() async throws {
        for function in Self.captureFunctions {
            let exists = "SELECT to_regproc('sync.\(function)')::text"
            guard try await database.value(exists) != "NULL" else { continue }
            try await grant(RequiredPrivileges(function: "sync.\(function)"))
        }
    }

    func grant(_ privileges: RequiredPrivileges) async throws {
        try await database.execute("GRANT \(privileges.clause) TO \(name)")
    }

    func revoke(_ privileges: RequiredPrivileges) async throws {
        try await database.execute("REVOKE \(privileges.clause) FROM \(name)")
    }

    /// Runs the body's statements of the database's connection as this role.
    func act(_ body: () async throws -> Void) async throws {
        try await database.execute("SET ROLE \(name)")
        try await body()
        try await database.execute("RESET ROLE")
    }

    /// Reaches the database as this role.
    var configuration: PostgresConfiguration {
        get throws {
            var configuration = try PostgresConfiguration(url: database.url)
            configuration.sessionSettings = ["role": name]
            return configuration
        }
    }
}

extension RequiredPrivileges {
    /// The middle of a GRANT or REVOKE.
    fileprivate var clause: String {
        let list = privileges.map(\.rawValue).joined(separator: ", ")
        let target = kind == .schema ? "\"\(schema)\"" : "\"\(schema)\".\"\(name)\""
        return "\(list) ON \(kind.rawValue) \(target)"
    }

    /// The same, one privilege at a time.
    var single: [RequiredPrivileges] {
        privileges.map { privilege in
            var one = self
            one.privileges = [privilege]
            return one
        }
    }
}
