import Model
import Postgres

/// What PostgreSQL knows of the foreign keys that touch registered tables.
package enum ForeignKeyStatements {
    /// The keys of and to registered business tables that are not checked at commit, and who owns
    /// their tables.
    ///
    /// A partition's key is its root's: only the root's can be altered, which alters them all.
    /// Referenced partitions have constraints of their own too, which lead to the same root.
    struct ReadImmediateKeys: TypedStatement {
        static let statement = Statement(
            name: "foreign_keys_immediate",
            sql: """
                WITH RECURSIVE registered AS (
                    SELECT t.oid FROM sync.catalog c
                    JOIN pg_namespace n ON n.nspname = c.schema_name
                    JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = c.table_name
                    WHERE c.removed_at IS NULL AND c.mode = 'table'
                ), lineage AS (
                    SELECT k.oid, k.conparentid FROM pg_constraint k
                    WHERE k.contype = 'f' AND (k.conrelid IN (SELECT oid FROM registered)
                        OR k.confrelid IN (SELECT oid FROM registered))
                    UNION
                    SELECT k.oid, k.conparentid
                    FROM lineage l JOIN pg_constraint k ON k.oid = l.conparentid
                )
                SELECT n.nspname, t.relname, k.conname, pg_get_userbyid(t.relowner),
                    pg_has_role(t.relowner, 'USAGE')
                FROM lineage l
                JOIN pg_constraint k ON k.oid = l.oid
                JOIN pg_class t ON t.oid = k.conrelid
                JOIN pg_namespace n ON n.oid = t.relnamespace
                WHERE k.conparentid = 0 AND NOT (k.condeferrable AND k.condeferred)
                ORDER BY 1, 2, 3
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> ImmediateKey {
            ImmediateKey(
                table: try TableName(columns: &columns),
                name: try columns.next(String.self), owner: try columns.next(String.self),
                isOurs: try columns.next(Bool.self))
        }
    }

    package static let all = [ReadImmediateKeys.statement]
}
