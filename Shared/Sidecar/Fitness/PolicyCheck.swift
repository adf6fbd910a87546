import Model
import Postgres

/// What keeps the policies of a table with `row_security: true` from deciding about uploads, or
/// hides its rows from those who must see them all: capture, `verify`, `adopt`, and the look-ups of
/// uploads (`sync.stored_rows`).
struct PolicyCheck: Hashable, CustomStringConvertible {
    enum Kind: String, Hashable {
        case disabled, superuser, bypass, owner, hidden
        case noPolicy = "no_policy"
    }

    let table: TableName
    let kind: Kind
    /// The role that it is about.
    let role: String

    /// `oversync migrate` says so and goes on.
    var isRemark: Bool { kind == .noPolicy }

    /// - Returns: what is wrong with those of the tables that are there.
    static func read(
        _ registrations: [TableRegistration], on connection: PostgresConnection
    ) async throws(PostgresError) -> [PolicyCheck] {
        let tables = registrations.filter { $0.rowSecurity && $0.mode == .table }.map(\.name)
        guard !tables.isEmpty else { return [] }
        let upload = try await RoleGrants.installed(on: connection).first {
            $0.purpose == .upload
        }
        let rows = try await connection.run(
            RoleStatements.ReadPolicyProblems(tables: tables, upload: upload?.name)
        ).all()
        return rows.compactMap { row in
            Kind(rawValue: row.kind).map {
                PolicyCheck(table: tables[Int(row.place) - 1], kind: $0, role: row.role ?? "")
            }
        }
    }

    var description: String {
        let place = "\(table).row_security:"
        let alter = "ALTER TABLE \(table.quotedName)"
        let name = quoted(role)
        func idle(_ why: String, _ advice: String) -> String {
            "\(place) the table's policies do not apply to \(role), which uploads run as and which "
                + "\(why): \(advice)"
        }
        return switch kind {
        case .disabled:
            "\(place) row-level security is off for the table: run \(alter) ENABLE ROW LEVEL "
                + "SECURITY, or leave row_security out"
        case .superuser: idle("is a superuser", "run ALTER ROLE \(name) NOSUPERUSER NOBYPASSRLS")
        case .bypass: idle("has BYPASSRLS", "run ALTER ROLE \(name) NOBYPASSRLS")
        case .owner:
            idle(
                "owns it, or is a member of its owner",
                "give the table to another role, or name another role in OVERSYNC_UPLOAD_ROLE")
        case .hidden:
            "\(place) FORCE ROW LEVEL SECURITY, or a foreign owner, hides its rows from \(role), "
                + "so that they can be neither captured nor compared: run \(alter) NO FORCE ROW "
                + "LEVEL SECURITY, or give \(name) BYPASSRLS"
        case .noPolicy:
            "\(place) no policy of the table applies to \(role), so that its rows are refused: "
                + "make one TO \(name), or GRANT it the role that the policies name"
        }
    }
}

extension RoleStatements {
    /// See ``PolicyCheck``: each table with the kind and the role.
    struct ReadPolicyProblems: TypedStatement {
        static let statement = Statement(
            name: "roles_policy_problems",
            sql: """
                SELECT w.place, f.kind, f.role
                FROM unnest($1::text[], $2::text[]) WITH ORDINALITY
                    AS w(schema_name, table_name, place)
                JOIN pg_namespace n ON n.nspname = w.schema_name
                JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = w.table_name
                LEFT JOIN pg_roles u ON u.rolname = $3
                CROSS JOIN LATERAL (
                    SELECT 'disabled', NULL::text WHERE NOT t.relrowsecurity
                    UNION ALL
                    SELECT CASE WHEN u.rolsuper THEN 'superuser' WHEN u.rolbypassrls THEN 'bypass'
                        WHEN NOT t.relforcerowsecurity AND pg_has_role(u.oid, t.relowner, 'USAGE')
                            THEN 'owner'
                        WHEN NOT EXISTS (
                            SELECT FROM pg_policy p
                            CROSS JOIN LATERAL unnest(p.polroles) AS r(oid)
                            WHERE p.polrelid = t.oid AND p.polpermissive
                                AND (r.oid = 0 OR pg_has_role(u.oid, r.oid, 'USAGE')))
                            THEN 'no_policy' END, u.rolname::text
                    WHERE t.relrowsecurity AND u.oid IS NOT NULL
                    UNION
                    SELECT 'hidden', o.rolname FROM pg_roles o
                    WHERE \(hides("t", from: "o")) AND (o.rolname = current_user OR o.oid = (
                        SELECT f.proowner FROM pg_proc f WHERE f.oid = \(storedRows)))
                ) AS f(kind, role)
                WHERE f.kind IS NOT NULL
                ORDER BY 1, 2, 3
                """,
            parameters: [.textArray, .textArray, .text])

        let tables: [TableName]
        /// The role of Upload, if there is one on record.
        let upload: String?

        func bind(to bindings: inout Bindings) {
            for part in [\TableName.schema, \TableName.table] {
                var array = ArrayBinding(of: .text, reserving: tables.count)
                for table in tables { array.append(table[keyPath: part]) }
                bindings.bind(array)
            }
            bindings.bind(upload)
        }

        struct Row {
            /// Among the tables asked for, from 1.
            let place: Int64
            let kind: String
            let role: String?
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                place: try columns.next(Int64.self), kind: try columns.next(String.self),
                role: try columns.next(String?.self))
        }
    }

    /// The function by which uploads see rows that policies hide; NULL if it is not there.
    static let storedRows = """
        (SELECT p.oid FROM pg_proc p
            WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'sync')
                AND p.proname = 'stored_rows')
        """

    /// A condition: policies of a table apply to a role.
    ///
    /// - Parameters:
    ///   - table: its row in `pg_class`.
    ///   - role: its row in `pg_roles`.
    static func hides(_ table: String, from role: String) -> String {
        """
        \(table).relrowsecurity AND NOT \(role).rolsuper AND NOT \(role).rolbypassrls
            AND (\(table).relforcerowsecurity
                OR NOT pg_has_role(\(role).oid, \(table).relowner, 'USAGE'))
        """
    }
}
