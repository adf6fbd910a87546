import Postgres

/// Statements about PostgreSQL's roles and what they may do.
enum RoleStatements {
    /// A role that Oversync created carries this comment, in every database of its server.
    static let comment = "Created by oversync migrate"

    /// Who is asking, where, and whether it may create roles.
    struct ReadSession: TypedStatement {
        static let statement = Statement(
            name: "roles_session",
            sql: """
                SELECT current_user, current_database(), rolsuper OR rolcreaterole, rolsuper
                FROM pg_catalog.pg_roles WHERE rolname = current_user
                """)

        struct Row {
            let user: String
            let database: String
            let mayCreateRoles: Bool
            let isSuperuser: Bool
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                user: try columns.next(String.self), database: try columns.next(String.self),
                mayCreateRoles: try columns.next(Bool.self),
                isSuperuser: try columns.next(Bool.self))
        }
    }

    /// Which of some roles exist, and whether Oversync created them.
    struct ReadExisting: TypedStatement {
        static let statement = Statement(
            name: "roles_existing",
            sql: """
                SELECT rolname, coalesce(shobj_description(oid, 'pg_authid') = $2, false)
                FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)
                """,
            parameters: [.textArray, .text])

        let names: [String]

        func bind(to bindings: inout Bindings) {
            var array = ArrayBinding(of: .text)
            for name in names { array.append(name) }
            bindings.bind(array)
            bindings.bind(comment)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (name: String, isManaged: Bool) {
            (try columns.next(String.self), try columns.next(Bool.self))
        }
    }

    /// The roles on record; nil for a purpose that this program does not know.
    struct ReadInstalled: TypedStatement {
        static let statement = Statement(
            name: "roles_installed",
            sql: """
                SELECT r.purpose, r.name, r.managed, p.oid IS NOT NULL
                FROM sync.role r LEFT JOIN pg_catalog.pg_roles p ON p.rolname = r.name
                ORDER BY r.purpose
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> InstalledRole? {
            let purpose = ServiceRole(rawValue: try columns.next(String.self))
            let name = try columns.next(String.self)
            let isManaged = try columns.next(Bool.self)
            let exists = try columns.next(Bool.self)
            return purpose.map {
                InstalledRole(purpose: $0, name: name, isManaged: isManaged, exists: exists)
            }
        }
    }

    static let record = Statement(
        name: "roles_record",
        sql: """
            INSERT INTO sync.role (purpose, name, managed) VALUES ($1, $2, $3)
            ON CONFLICT (purpose) DO UPDATE SET name = excluded.name, managed = excluded.managed
            """,
        parameters: [.text, .text, .bool])

    /// The session settings that a role has in the database at hand, as `name=value`.
    struct ReadSettings: TypedStatement {
        static let statement = Statement(
            name: "roles_settings",
            sql: """
                SELECT unnest(s.setconfig)
                FROM pg_catalog.pg_db_role_setting s
                JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
                JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
                WHERE r.rolname = $1 AND d.datname = current_database()
                """,
            parameters: [.text])

        let role: String

        func bind(to bindings: inout Bindings) {
            bindings.bind(role)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }

    /// Which of some privileges (role, kind, object, right) the roles lack. A role has one also as
    /// an owner, a superuser or a member of another. An object or a role that does not exist counts
    /// as lacking.
    struct FindMissing: TypedStatement {
        static let statement = Statement(
            name: "roles_missing",
            sql: """
                SELECT w.n::int8
                FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                    AS w(role, kind, object, privilege, n)
                LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.role
                WHERE coalesce(CASE w.kind
                    WHEN 'database' THEN
                        has_database_privilege(r.oid, current_database(), w.privilege)
                    WHEN 'schema' THEN
                        has_schema_privilege(r.oid, to_regnamespace(w.object)::oid, w.privilege)
                    WHEN 'table' THEN
                        has_table_privilege(r.oid, to_regclass(w.object)::oid, w.privilege)
                    WHEN 'sequence' THEN
                        has_sequence_privilege(r.oid, to_regclass(w.object)::oid, w.privilege)
                    WHEN 'function' THEN
                        has_function_privilege(r.oid, to_regprocedure(w.object)::oid, w.privilege)
                    END, false) = false
                ORDER BY w.n
                """,
            parameters: [.textArray, .textArray, .textArray, .textArray])

        let grants: [RoleGrant]

        func bind(to bindings: inout Bindings) {
            RoleStatements.bind(grants, to: &bindings)
        }

        /// - Returns: the place among the grants, from 1.
        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    /// Records what was granted here.
    static let recordGrants = Statement(
        name: "roles_record_grants",
        sql: """
            INSERT INTO sync.role_grant (role_name, kind, object, privilege)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
            ON CONFLICT DO NOTHING
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    /// What was granted, and whether its role and object are still there to revoke it.
    struct ReadGranted: TypedStatement {
        static let statement = Statement(
            name: "roles_granted",
            sql: """
                SELECT g.role_name, g.kind, g.object, g.privilege, r.oid IS NOT NULL AND CASE g.kind
                    WHEN 'database' THEN true
                    WHEN 'schema' THEN to_regnamespace(g.object) IS NOT NULL
                    WHEN 'function' THEN to_regprocedure(g.object) IS NOT NULL
                    ELSE to_regclass(g.object) IS NOT NULL END
                FROM sync.role_grant g LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.role_name
                """)

        struct Row {
            let role: String
            /// Nil for a kind of object that this program does not know.
            let privilege: Privilege?
            let isRevocable: Bool
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let role = try columns.next(String.self)
            let kind = Privilege.Kind(rawValue: try columns.next(String.self))
            let object = try columns.next(String.self)
            let right = try columns.next(String.self)
            return Row(
                role: role, privilege: kind.map { Privilege($0, object, right) },
                isRevocable: try columns.next(Bool.self))
        }
    }

    /// Forgets what was revoked here.
    static let forgetGrants = Statement(
        name: "roles_forget_grants",
        sql: """
            DELETE FROM sync.role_grant g
            USING unnest($1::text[], $2::text[], $3::text[], $4::text[])
                AS w(role, kind, object, privilege)
            WHERE (g.role_name, g.kind, g.object, g.privilege)
                = (w.role, w.kind, w.object, w.privilege)
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    /// Registered tables with row-level security that a role is subject to, without
    /// `row_security: true`: it may see no row of them.
    struct ReadRowSecurity: TypedStatement {
        static let statement = Statement(
            name: "roles_row_security",
            sql: """
                SELECT format('%I.%I', c.schema_name, c.table_name)
                FROM sync.catalog c
                JOIN pg_catalog.pg_class t
                    ON t.oid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                JOIN pg_catalog.pg_roles r
                    ON r.rolname = $1 AND NOT r.rolsuper AND NOT r.rolbypassrls
                WHERE c.removed_at IS NULL AND c.mode = 'table' AND NOT c.row_security
                    AND t.relrowsecurity
                    AND (t.relforcerowsecurity OR NOT pg_has_role(r.oid, t.relowner, 'USAGE'))
                ORDER BY 1
                """,
            parameters: [.text])

        let role: String

        func bind(to bindings: inout Bindings) {
            bindings.bind(role)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }

    /// Registered tables with row-level security that the session's own role is subject to.
    struct ReadForcedSecurity: TypedStatement {
        static let statement = Statement(
            name: "roles_forced_security",
            sql: """
                SELECT format('%I.%I', c.schema_name, c.table_name), current_user::text
                FROM sync.catalog c
                JOIN pg_catalog.pg_class t
                    ON t.oid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                WHERE c.removed_at IS NULL AND c.mode = 'table' AND row_security_active(t.oid)
                ORDER BY 1
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (table: String, role: String) {
            (try columns.next(String.self), try columns.next(String.self))
        }
    }

    static let all = [
        ReadSession.statement, ReadExisting.statement, ReadInstalled.statement, record,
        ReadSettings.statement, FindMissing.statement, recordGrants, ReadGranted.statement,
        forgetGrants, ReadRowSecurity.statement, ReadForcedSecurity.statement,
        ReadPolicyProblems.statement,
    ]

    private static func bind(_ grants: [RoleGrant], to bindings: inout Bindings) {
        let columns: [(RoleGrant) -> String] = [
            { $0.role }, { $0.privilege.kind.rawValue }, { $0.privilege.object },
            { $0.privilege.right },
        ]
        for column in columns {
            var array = ArrayBinding(of: .text, reserving: grants.count)
            for grant in grants { array.append(column(grant)) }
            bindings.bind(array)
        }
    }
}
