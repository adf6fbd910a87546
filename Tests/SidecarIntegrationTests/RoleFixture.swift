import Foundation
import Logging
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

/// A database with two business tables, and roles of a name of its own.
struct RoleFixture: Sendable {
    /// Roles belong to the whole cluster, which tests share.
    let prefix = "r\(String(UInt32.random(in: 0...UInt32.max), radix: 36))"
    let url: String

    static let notes = TableRegistration(name: .init(schema: "app", table: "notes"), owner: "owner")
    static let items = TableRegistration(name: .init(schema: "app", table: "items"), owner: "owner")

    private static let tables = """
        CREATE SCHEMA app;
        CREATE SCHEMA types;
        CREATE DOMAIN types.title AS text;
        CREATE SCHEMA shared;
        CREATE TABLE shared.countries (code text PRIMARY KEY);
        CREATE TABLE app.notes (id uuid PRIMARY KEY, owner text, title types.title, n serial,
            country text REFERENCES shared.countries);
        CREATE TABLE app.items (id uuid PRIMARY KEY, owner text);
        """

    private static let template = DatabaseTemplate(name: "roles") { url in
        try await connected(to: url) { connection in
            try await connection.execute(script: tables)
            _ = try await Migrator(connection: connection).migrate()
        }
    }

    static func with(_ body: (RoleFixture) async throws -> Void) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            try await body(RoleFixture(url: url))
        }
    }

    func name(_ purpose: ServiceRole) -> String { "\(prefix)_\(purpose.rawValue)" }

    var request: RoleRequest { request(password: nil) }

    func request(password: String?) -> RoleRequest {
        RoleRequest(
            Dictionary(
                uniqueKeysWithValues: ServiceRole.allCases.compactMap { purpose in
                    RoleName(name(purpose)).map {
                        (purpose, RoleRequest.Entry(name: $0, password: password))
                    }
                }))
    }

    /// What `oversync migrate` does after the layout.
    @discardableResult
    func install(
        _ registrations: TableRegistration..., request: RoleRequest? = nil, as role: String? = nil
    ) async throws -> [String] {
        try await sql(role) { connection in
            let remarks = try await RoleInstallation(
                request ?? self.request, connection: connection
            ).apply()
            return remarks
                + (try await Registration.apply(registrations, on: connection))
        }
    }

    /// Lends a connection, of the owner unless a role is named.
    func sql<R: Sendable>(
        _ role: String? = nil, _ body: (PostgresConnection) async throws -> R
    ) async throws -> R {
        try await connected(to: role.map { TestDatabase.url(url, as: $0) } ?? url, body)
    }

    func execute(_ script: String, as role: String? = nil) async throws {
        try await sql(role) { try await $0.execute(script: script) }
    }

    /// The SQLSTATE that a script is refused with; nil if it runs. Nothing of it stays.
    func refusal(of script: String, as purpose: ServiceRole) async throws -> String? {
        do throws(PostgresError) {
            try await connect(name(purpose)).execute(script: "BEGIN; \(script); ROLLBACK")
            return nil
        } catch {
            return error.sqlState?.rawValue ?? "\(error)"
        }
    }

    private func connect(_ role: String) async throws(PostgresError) -> PostgresConnection {
        try await PostgresConnection.connect(
            PostgresConfiguration(url: TestDatabase.url(url, as: role)),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// The rows of a query, columns joined by blanks.
    func rows(_ query: String, as role: String? = nil) async throws -> [String] {
        try await sql(role) { connection in
            let result = try await connection.run(
                Command(Statement(name: "rows", sql: query)))
            return try (0..<result.rowCount).map { row in
                try (0..<result.columnCount).map {
                    try result.optionalString(row, $0) ?? "NULL"
                }.joined(separator: " ")
            }
        }
    }

    /// The tables on which a role has a right, such as `app.notes INSERT`.
    func rights(of purpose: ServiceRole, in schema: String) async throws -> [String] {
        try await rows(
            """
            SELECT format('%I.%I', n.nspname, c.relname), p FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace AND c.relkind IN ('r', 'v')
            CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
            WHERE n.nspname = '\(schema)' AND has_table_privilege('\(name(purpose))', c.oid, p)
            ORDER BY 1, p COLLATE "C"
            """)
    }

    func missing() async throws -> [String] {
        try await sql { try await RoleGrants.missing(on: $0) }.map { "\($0.role) \($0.privilege)" }
    }
}
