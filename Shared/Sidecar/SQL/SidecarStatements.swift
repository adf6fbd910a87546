import Postgres

/// Statements about the sidecar itself: its version and the registered tables.
package enum SidecarStatements {
    /// From the tables of `pg_catalog`: `to_regclass` may answer from a cache that does not see what another
    /// migrator has just committed.
    static let metaExists = Statement(
        name: "sidecar_meta_exists",
        sql: """
            SELECT EXISTS (
                SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'sync' AND c.relname = 'meta')
            """)

    package static let layoutVersion = Statement(
        name: "sidecar_layout_version", sql: "SELECT layout_version::bigint FROM sync.meta")

    static let registeredTables = Statement(
        name: "sidecar_registered_tables",
        sql: """
            SELECT table_id, schema_name, table_name, key_kind, key_column, mode, owner_column,
                removed_at IS NOT NULL, array_to_string(read_roles, ','),
                array_to_string(write_roles, ',')
            FROM sync.catalog ORDER BY schema_name, table_name
            """)

    /// Foreign keys and unique constraints are triggers too. Not only of registered tables: a delete is refused
    /// by the key of a table that points at it, and a trigger of the team's may write anywhere.
    static let hasDeferrableConstraints = Statement(
        name: "sidecar_has_deferrable",
        sql: "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgdeferrable)")

    /// Not by `ON CONFLICT`: that would take a number for a table each time, and there are 32 767.
    static let register = Statement(
        name: "sidecar_register_table",
        sql: """
            WITH known AS (
                UPDATE sync.catalog
                SET key_kind = $3, key_column = $4, mode = $5, owner_column = $6, read_roles = $7,
                    write_roles = $8, removed_at = NULL
                WHERE schema_name = $1 AND table_name = $2
                RETURNING table_id
            )
            INSERT INTO sync.catalog (schema_name, table_name, key_kind, key_column, mode, owner_column,
                read_roles, write_roles)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM known)
            """,
        parameters: [.text, .text, .text, .text, .text, .text, .textArray, .textArray])

    /// The kind of a table's stored keys if they are of another than the given one; no row otherwise.
    static let otherKeyKind = Statement(
        name: "sidecar_other_key_kind",
        sql: """
            SELECT c.key_kind FROM sync.catalog c
            WHERE c.schema_name || '.' || c.table_name = $1 AND c.key_kind <> $2
                AND EXISTS (SELECT FROM sync.row_state r WHERE r.table_id = c.table_id)
            """,
        parameters: [.text, .text])

    /// Tables that the configuration no longer names: their rows stay, their changes stop.
    static let removeOthers = Statement(
        name: "sidecar_remove_tables",
        sql: """
            UPDATE sync.catalog SET removed_at = now()
            WHERE removed_at IS NULL AND schema_name || '.' || table_name <> ALL ($1)
            """,
        parameters: [.textArray])

    /// The columns of the given tables, with the schema of the type and the sequence of the
    /// default; a column whose default calls several sequences has a row for each. `pg_catalog` and
    /// not `information_schema`, which hides what the role does not own.
    static let columns = Statement(
        name: "sidecar_columns",
        sql: """
            SELECT n.nspname || '.' || c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),
                CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END::bigint,
                a.attgenerated <> '' OR a.attidentity = 'a',
                a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', t.oid::bigint,
                tn.nspname, s.schema_name, s.sequence_name
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            JOIN pg_type t ON t.oid = a.atttypid
            JOIN pg_namespace tn ON tn.oid = t.typnamespace
            LEFT JOIN LATERAL (
                SELECT sn.nspname AS schema_name, r.relname AS sequence_name
                FROM pg_attrdef d
                JOIN pg_depend p ON p.objid = d.oid
                    AND p.classid = 'pg_catalog.pg_attrdef'::regclass
                    AND p.refclassid = 'pg_catalog.pg_class'::regclass
                JOIN pg_class r ON r.oid = p.refobjid AND r.relkind = 'S'
                JOIN pg_namespace sn ON sn.oid = r.relnamespace
                WHERE d.adrelid = c.oid AND d.adnum = a.attnum
            ) AS s ON true
            WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY ($1)
            ORDER BY 1, a.attnum, s.schema_name, s.sequence_name
            """,
        parameters: [.textArray])

    /// The foreign keys of the given tables, one row a column pair in key order.
    static let foreignKeys = Statement(
        name: "sidecar_foreign_keys",
        sql: """
            SELECT n.nspname || '.' || c.relname, k.conname, pn.nspname, p.relname, ca.attname, pa.attname,
                CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END::bigint, k.condeferrable
            FROM pg_constraint k
            JOIN pg_class c ON c.oid = k.conrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_class p ON p.oid = k.confrelid
            JOIN pg_namespace pn ON pn.oid = p.relnamespace
            CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair(child, parent, position)
            JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
            JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
            JOIN pg_type t ON t.oid = pa.atttypid
            WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname || '.' || c.relname = ANY ($1)
            ORDER BY 1, k.conname, pair.position
            """,
        parameters: [.textArray])

    /// Unique indexes (constraints or not) without a condition or expression: what a key can rest on.
    static let uniqueKeys = Statement(
        name: "sidecar_unique_keys",
        sql: """
            SELECT n.nspname || '.' || c.relname, i.indexrelid::bigint, a.attname, i.indisprimary
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k(attnum, position)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
            WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
                AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
                AND n.nspname || '.' || c.relname = ANY ($1)
            ORDER BY 1, NOT i.indisprimary, 2, k.position
            """,
        parameters: [.textArray])

    /// The tables that are or were registered, with what `migrate` made for each. Triggers count that run the table's
    /// own function: one that was renamed still has those of its old name.
    static let captureTriggers = Statement(
        name: "sidecar_capture_triggers",
        sql: """
            SELECT c.table_id, c.schema_name, c.table_name, c.capture_fingerprint,
                (SELECT count(*) FROM pg_trigger t
                 WHERE t.tgrelid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                    AND t.tgname ^@ 'oversync_capture_' AND t.tgenabled = 'O'
                    AND t.tgfoid = to_regproc('sync.capture_' || c.table_id)::oid)
            FROM sync.catalog c
            """)

    /// Capture triggers on other tables than the one that their function is for: such tables were renamed. With the
    /// statement that takes each off.
    static let strayTriggers = Statement(
        name: "sidecar_stray_triggers",
        sql: """
            SELECT n.nspname, r.relname, format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
            FROM pg_trigger t
            JOIN pg_class r ON r.oid = t.tgrelid
            JOIN pg_namespace n ON n.oid = r.relnamespace
            JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = to_regnamespace('sync')
                AND p.proname ~ '^capture_[0-9]+$'
            WHERE NOT t.tgisinternal AND NOT EXISTS (
                SELECT FROM sync.catalog c
                WHERE p.proname = 'capture_' || c.table_id
                    AND t.tgrelid = to_regclass(format('%I.%I', c.schema_name, c.table_name)))
            ORDER BY t.tgrelid, t.tgname
            """)

    /// The other sessions that have locks on a table, in words; null if there are none.
    static let lockHolders = Statement(
        name: "sidecar_lock_holders",
        sql: """
            SELECT string_agg(DISTINCT concat_ws(' ', 'process', a.pid, '(' || concat_ws(', ', a.usename,
                nullif(a.application_name, ''), a.state) || ')'), ', ')
            FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'relation' AND l.relation = to_regclass($1) AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.pid <> pg_backend_pid()
            """,
        parameters: [.text])
}
