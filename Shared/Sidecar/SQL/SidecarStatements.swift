import Model
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
                    write_roles = $8, except_columns = $9, read_only_columns = $10::json,
                    row_security = $11, read_patterns = $12::json, write_patterns = $13::json,
                    removed_at = NULL
                WHERE schema_name = $1 AND table_name = $2
                RETURNING table_id
            )
            INSERT INTO sync.catalog (schema_name, table_name, key_kind, key_column, mode, owner_column,
                read_roles, write_roles, except_columns, read_only_columns,
                row_security, read_patterns, write_patterns)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json, $11, $12::json, $13::json
            WHERE NOT EXISTS (SELECT FROM known)
            """,
        parameters: [
            .text, .text, .text, .text, .text, .text, .textArray, .textArray, .textArray, .text,
            .bool, .text, .text,
        ])

    /// Shows columns to devices that stayed on the server: before their rows are sent, see
    /// ``ShownColumns``.
    static let showColumns = Statement(
        name: "sidecar_show_columns",
        sql: """
            UPDATE sync.catalog SET except_columns = $3 WHERE schema_name = $1 AND table_name = $2
            """,
        parameters: [.text, .text, .textArray])

    /// The kind of a table's stored keys if they are of another than the given one; no row otherwise.
    static let otherKeyKind = Statement(
        name: "sidecar_other_key_kind",
        sql: """
            SELECT c.key_kind FROM sync.catalog c
            WHERE c.schema_name || '.' || c.table_name = $1 AND c.key_kind <> $2
                AND EXISTS (SELECT FROM sync.row_state r WHERE r.table_id = c.table_id)
            """,
        parameters: [.text, .text])

    static let otherMode = Statement(
        name: "sidecar_other_mode",
        sql: """
            SELECT c.mode FROM sync.catalog c
            WHERE c.schema_name || '.' || c.table_name = $1 AND c.mode <> $2
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

    /// The tables that are or were registered, with what `migrate` made for each. Triggers count
    /// that run the table's own function: a table that was renamed still has those of its old name.
    struct ReadCaptureTriggers: TypedStatement {
        static let statement = Statement(
            name: "sidecar_capture_triggers",
            sql: """
                SELECT c.table_id, c.schema_name, c.table_name, c.capture_fingerprint,
                    (SELECT count(*) FROM pg_trigger t
                     WHERE t.tgrelid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                        AND t.tgname ^@ 'oversync_capture_' AND t.tgenabled IN ('O', 'A')
                        AND t.tgnargs = 0
                        AND t.tgfoid = to_regproc('sync.capture_' || c.table_id)::oid),
                    \(UncapturedTrigger.count(
                        of: CapturedPart.registered, isOn: true, arguments: 1)),
                    \(UncapturedTrigger.count(
                        of: CapturedPart.registered, isOn: false, arguments: 1))
                FROM sync.catalog c
                """)

        struct Row {
            let id: TableID
            let table: TableName
            let fingerprint: String?
            /// How many triggers are on.
            let triggers: Int64
            let recording: CapturedPart.Recording
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                id: try columns.next(Int16.self), table: try TableName(columns: &columns),
                fingerprint: try columns.next(String?.self), triggers: try columns.next(Int64.self),
                recording: .init(
                    on: try columns.next(Int64.self), reset: try columns.next(Int64.self)))
        }
    }

    /// Triggers on other tables than the one that they are for and its parts: such tables were
    /// renamed or detached. With the statement that takes each off.
    struct ReadStrayTriggers: TypedStatement {
        static let statement = Statement(
            name: "sidecar_stray_triggers",
            sql: """
                SELECT n.nspname, r.relname,
                    format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
                FROM pg_trigger t
                JOIN pg_class r ON r.oid = t.tgrelid
                JOIN pg_namespace n ON n.oid = r.relnamespace
                JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = to_regnamespace('sync')
                    AND p.proname ~ '^(capture_[0-9]+|record_uncaptured)$'
                CROSS JOIN LATERAL (SELECT CASE p.proname
                    -- The arguments are texts, each followed by a zero byte.
                    WHEN 'record_uncaptured' THEN split_part(encode(t.tgargs, 'escape'), '\\000', 1)
                    ELSE substr(p.proname, length('capture_') + 1) END AS table_id,
                    t.tgnargs > CASE p.proname WHEN 'record_uncaptured' THEN 1 ELSE 0 END AS is_part
                ) AS own
                WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND NOT EXISTS (
                    SELECT FROM sync.catalog c
                    WHERE own.table_id = c.table_id::text AND CASE own.is_part
                        WHEN false THEN
                            t.tgrelid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                        ELSE c.removed_at IS NULL AND c.mode = 'table' AND t.tgrelid IN (
                            SELECT b.oid FROM (
                                \(CapturedPart.below(CapturedPart.registered))) AS b)
                        END)
                ORDER BY t.tgrelid, t.tgname
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (table: TableName, removal: String) {
            (try TableName(columns: &columns), try columns.next(String.self))
        }
    }

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

extension TableName {
    /// Reads two columns: the schema's name and the table's.
    init(columns: inout RowColumns) throws(PostgresError) {
        self.init(
            schema: try columns.next(String.self), table: try columns.next(String.self))
    }
}
