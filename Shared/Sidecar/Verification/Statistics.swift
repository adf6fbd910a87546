import Postgres

/// Statistics of the tables that a verification joins.
///
/// A database that was restored from a dump has none until autovacuum comes by, and PostgreSQL then
/// sorts and hashes what it takes for a few rows: minutes instead of seconds.
enum Statistics {
    /// Longest wait for a table that is being vacuumed or altered, in milliseconds.
    private static let lockMilliseconds = 2000

    /// Analyzes the tables that have no statistics, or whose rows have mostly come since. Outside
    /// of a transaction.
    ///
    /// What cannot be analyzed (on a standby, by a role that does not own it, while it is locked)
    /// is read without.
    static func make(on connection: PostgresConnection) async throws(PostgresError) {
        let tables = try await connection.run(ReadUnknown()).all()
        for table in tables {
            do throws(PostgresError) {
                try await connection.execute(
                    script: """
                        BEGIN;
                        SET LOCAL lock_timeout = \(lockMilliseconds);
                        SET LOCAL statement_timeout = 0;
                        ANALYZE \(table);
                        COMMIT
                        """)
            } catch {
                guard error.serverError != nil else { throw error }
                try await connection.execute(script: "ROLLBACK")
            }
        }
    }

    /// The sidecar's large tables and the registered ones that need it, as SQL takes their names.
    struct ReadUnknown: TypedStatement {
        static let statement = Statement(
            name: "verify_unknown_tables",
            sql: """
                WITH wanted AS (
                    SELECT 'sync' AS schema_name, t AS table_name
                    FROM unnest(ARRAY['scope', 'source', 'change_log', 'row_state', 'key_owner'])
                        AS t
                    UNION ALL
                    SELECT schema_name, table_name FROM sync.catalog
                    WHERE removed_at IS NULL AND mode = 'table'
                )
                SELECT format('%I.%I', n.nspname, c.relname)
                FROM wanted w
                JOIN pg_namespace n ON n.nspname = w.schema_name
                JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name
                    AND c.relkind IN ('r', 'p')
                WHERE NOT pg_is_in_recovery() AND pg_has_role(c.relowner, 'USAGE')
                    AND (c.relkind = 'p' OR pg_relation_size(c.oid) > 0)
                    AND (pg_stat_get_mod_since_analyze(c.oid) > greatest(c.reltuples, 0)
                        OR NOT EXISTS (
                            SELECT FROM pg_stats s
                            WHERE s.schemaname = n.nspname AND s.tablename = c.relname))
                ORDER BY 1
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }
}
