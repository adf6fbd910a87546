import Postgres

/// Statements about PostgreSQL's roles and what they may do.
enum RoleStatements {
    /// A role that Oversync created carries this comment, in every database of its server.
    static let comment = "Created by oversync migrate"

    /// Who is asking, where, and whether it may create roles.
    static let session = Statement(
        name: "roles_session",
        sql: """
            SELECT current_user, current_database(), rolsuper OR rolcreaterole
            FROM pg_catalog.pg_roles WHERE rolname = current_user
            """)

    /// Which of some roles exist, and whether Oversync created them.
    static let existing = Statement(
        name: "roles_existing",
        sql: """
            SELECT rolname, coalesce(shobj_description(oid, 'pg_authid') = $2, false)
            FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)
            """,
        parameters: [.textArray, .text])

    static let installed = Statement(
        name: "roles_installed",
        sql: """
            SELECT r.purpose, r.name, r.managed, p.oid IS NOT NULL
            FROM sync.role r LEFT JOIN pg_catalog.pg_roles p ON p.rolname = r.name ORDER BY r.purpose
            """)

    static let record = Statement(
        name: "roles_record",
        sql: """
            INSERT INTO sync.role (purpose, name, managed) VALUES ($1, $2, $3)
            ON CONFLICT (purpose) DO UPDATE SET name = excluded.name, managed = excluded.managed
            """,
        parameters: [.text, .text, .bool])

    /// The session settings that a role has in the database at hand, as `name=value`.
    static let settings = Statement(
        name: "roles_settings",
        sql: """
            SELECT unnest(s.setconfig)
            FROM pg_catalog.pg_db_role_setting s
            JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
            JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
            WHERE r.rolname = $1 AND d.datname = current_database()
            """,
        parameters: [.text])

    /// Which of some privileges (role, kind, object, right) the roles lack. A role has one also as an owner, a
    /// superuser or a member of another. An object or a role that does not exist counts as lacking.
    static let missing = Statement(
        name: "roles_missing",
        sql: """
            SELECT w.n::int8
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                AS w(role, kind, object, privilege, n)
            LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.role
            WHERE coalesce(CASE w.kind
                WHEN 'database' THEN has_database_privilege(r.oid, current_database(), w.privilege)
                WHEN 'schema' THEN has_schema_privilege(r.oid, to_regnamespace(w.object)::oid, w.privilege)
                WHEN 'table' THEN has_table_privilege(r.oid, to_regclass(w.object)::oid, w.privilege)
                WHEN 'sequence' THEN has_sequence_privilege(r.oid, to_regclass(w.object)::oid, w.privilege)
                WHEN 'function' THEN has_function_privilege(r.oid, to_regprocedure(w.object)::oid, w.privilege)
                END, false) = false
            ORDER BY w.n
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    static let recordGrants = Statement(
        name: "roles_record_grants",
        sql: """
            INSERT INTO sync.role_grant (role_name, kind, object, privilege)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    /// What was granted, and whether its role and object are still there to revoke it.
    static let granted = Statement(
        name: "roles_granted",
        sql: """
            SELECT g.role_name, g.kind, g.object, g.privilege, r.oid IS NOT NULL AND CASE g.kind
                WHEN 'database' THEN true
                WHEN 'schema' THEN to_regnamespace(g.object) IS NOT NULL
                WHEN 'function' THEN to_regprocedure(g.object) IS NOT NULL
                ELSE to_regclass(g.object) IS NOT NULL END
            FROM sync.role_grant g LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.role_name
            """)

    static let forgetGrants = Statement(
        name: "roles_forget_grants",
        sql: """
            DELETE FROM sync.role_grant g
            USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w(role, kind, object, privilege)
            WHERE (g.role_name, g.kind, g.object, g.privilege) = (w.role, w.kind, w.object, w.privilege)
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    /// Registered tables with row-level security that a role is subject to: it may see no row of them.
    static let rowSecurity = Statement(
        name: "roles_row_security",
        sql: """
            SELECT format('%I.%I', c.schema_name, c.table_name)
            FROM sync.catalog c
            JOIN pg_catalog.pg_class t ON t.oid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
            JOIN pg_catalog.pg_roles r ON r.rolname = $1 AND NOT r.rolsuper AND NOT r.rolbypassrls
            WHERE c.removed_at IS NULL AND c.mode = 'table' AND t.relrowsecurity
                AND (t.relforcerowsecurity OR NOT pg_has_role(r.oid, t.relowner, 'USAGE'))
            ORDER BY 1
            """,
        parameters: [.text])

    static let all = [
        session, existing, installed, record, settings, missing, recordGrants, granted,
        forgetGrants, rowSecurity,
    ]
}
