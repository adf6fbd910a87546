import Model
import Postgres

/// What keeps tables from being synced, as PostgreSQL's catalog shows it.
enum FlawStatements {
    /// The flaws of the given tables' shape. It reads `pg_catalog` alone, so that any role may ask.
    ///
    /// An index matters if it has the key's column: `ON CONFLICT` takes every unique index with the
    /// columns that it names, also one that is deferrable (and then fails) or that takes two keys
    /// for one (and then overwrites).
    struct ReadShapes: TypedStatement {
        static let statement = Statement(
            name: "sidecar_table_flaws",
            sql: """
                WITH RECURSIVE wanted AS (
                    SELECT w.place, w.key, w.owner, n.nspname, c.oid, c.relkind, c.relpersistence,
                        c.relispartition
                    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
                        AS w(schema_name, table_name, key, owner, place)
                    JOIN pg_namespace n ON n.nspname = w.schema_name
                    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name
                    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                ), special AS (
                    SELECT w.place, a.attname = w.key AS is_key, a.*
                    FROM wanted w
                    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attname IN (w.key, w.owner)
                    WHERE a.attnum > 0 AND NOT a.attisdropped
                ), types AS (
                    -- A domain may be made of a domain.
                    SELECT s.place, s.attname, t.oid, t.typname, t.typtype, t.typbasetype,
                        t.typnotnull
                    FROM special s JOIN pg_type t ON t.oid = s.atttypid
                    UNION ALL
                    SELECT d.place, d.attname, t.oid, t.typname, t.typtype, t.typbasetype,
                        t.typnotnull
                    FROM types d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd'
                ), indexes AS (
                    SELECT w.place, x.relname, CASE
                        WHEN NOT i.indisvalid THEN 'invalid_index'
                        WHEN i.indexprs IS NOT NULL THEN 'expression_index'
                        WHEN EXISTS (
                            SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS u(attnum)
                            JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = u.attnum
                            WHERE a.attname <> w.key AND a.attname IS DISTINCT FROM w.owner)
                                THEN 'wider_index'
                        WHEN EXISTS (
                            SELECT FROM unnest(i.indcollation::oid[]) AS u(collation_id)
                            JOIN pg_collation l ON l.oid = u.collation_id
                            WHERE NOT l.collisdeterministic AND NOT EXISTS (
                                SELECT FROM special s WHERE s.place = w.place
                                    AND s.attcollation = l.oid)) THEN 'nondeterministic_index'
                        WHEN NOT i.indimmediate THEN 'deferrable_index'
                        WHEN i.indpred IS NOT NULL THEN 'partial_index' END AS flaw
                    FROM wanted w
                    JOIN special k ON k.place = w.place AND k.is_key
                    JOIN pg_index i ON i.indrelid = w.oid AND i.indisunique
                    JOIN pg_class x ON x.oid = i.indexrelid
                    WHERE k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                        OR i.indexprs IS NOT NULL AND EXISTS (
                            SELECT FROM pg_depend d
                            WHERE d.classid = 'pg_catalog.pg_class'::regclass
                                AND d.objid = i.indexrelid
                                AND d.refobjid = w.oid AND d.refobjsubid = k.attnum)
                )
                SELECT place, flaw, object FROM (
                    SELECT place, CASE relkind WHEN 'v' THEN 'view'
                        WHEN 'm' THEN 'materialized_view'
                        WHEN 'f' THEN 'foreign_table' END, NULL::text FROM wanted
                    UNION ALL
                    SELECT place, CASE relpersistence WHEN 't' THEN 'temporary'
                        WHEN 'u' THEN 'unlogged' END, NULL
                    FROM wanted
                    UNION ALL
                    SELECT place, 'reserved_schema', nspname FROM wanted
                    WHERE nspname IN ('sync', 'oversync_auth', 'pg_catalog', 'information_schema')
                    UNION ALL
                    SELECT w.place,
                        CASE WHEN w.relispartition THEN 'partition' ELSE 'inheriting' END,
                        n.nspname || '.' || c.relname
                    FROM wanted w
                    JOIN pg_inherits h ON h.inhrelid = w.oid
                    JOIN pg_class c ON c.oid = CASE WHEN w.relispartition
                        THEN pg_partition_root(w.oid)::oid ELSE h.inhparent END
                    JOIN pg_namespace n ON n.oid = c.relnamespace
                    UNION ALL
                    SELECT w.place, 'inherited', NULL FROM wanted w
                    WHERE w.relkind = 'r'
                        AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = w.oid)
                    UNION ALL
                    SELECT w.place, 'rule', r.rulename
                    FROM wanted w JOIN pg_rewrite r ON r.ev_class = w.oid
                    WHERE w.relkind IN ('r', 'p') AND r.rulename <> '_RETURN'
                    UNION ALL
                    SELECT place, CASE WHEN is_key THEN 'generated_key' ELSE 'generated_owner' END,
                        attname
                    FROM special WHERE attgenerated <> '' OR attidentity = 'a' AND NOT is_key
                    UNION ALL
                    SELECT s.place, 'nullable_key', s.attname
                    FROM special s JOIN wanted w USING (place)
                    WHERE s.is_key AND w.relkind IN ('r', 'p') AND NOT s.attnotnull AND NOT EXISTS (
                        SELECT FROM types t
                        WHERE t.place = s.place AND t.attname = s.attname AND t.typnotnull)
                    UNION ALL
                    SELECT s.place, CASE WHEN is_key THEN 'nondeterministic_key'
                        ELSE 'nondeterministic_owner' END, s.attname
                    FROM special s
                    WHERE EXISTS (
                            SELECT FROM pg_collation l WHERE l.oid = s.attcollation
                                AND NOT l.collisdeterministic)
                        OR EXISTS (
                            SELECT FROM types t
                            WHERE t.place = s.place AND t.attname = s.attname
                                AND t.typname = 'citext')
                    UNION ALL
                    SELECT t.place, 'padded_key', t.attname
                    FROM types t JOIN special s USING (place, attname)
                    WHERE s.is_key AND t.oid = \(PostgresType.bpchar.rawValue)
                    UNION ALL
                    SELECT w.place, 'padded_reference', a.attname
                    FROM wanted w
                    JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'f'
                    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(child, parent)
                    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = pair.child
                    JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.parent
                    WHERE a.atttypid = \(PostgresType.bpchar.rawValue) AND b.atttypid <> a.atttypid
                    UNION ALL
                    SELECT x.place, x.flaw, x.relname FROM indexes x
                    WHERE x.flaw IN ('nondeterministic_index', 'deferrable_index')
                        OR x.flaw IS NOT NULL AND NOT EXISTS (
                        SELECT FROM indexes y WHERE y.place = x.place AND y.flaw IS NULL)
                    UNION ALL
                    SELECT s.place, 'no_key_index', s.attname
                    FROM special s JOIN wanted w USING (place)
                    WHERE s.is_key AND w.relkind IN ('r', 'p')
                        AND NOT EXISTS (SELECT FROM indexes x WHERE x.place = s.place)
                ) AS found(place, flaw, object)
                WHERE flaw IS NOT NULL
                GROUP BY place, flaw, object ORDER BY place, flaw, object
                """,
            parameters: [.textArray, .textArray, .textArray, .textArray])

        let tables: [TableShape]

        func bind(to bindings: inout Bindings) {
            bindings.bind(array { $0.name.schema })
            bindings.bind(array { $0.name.table })
            bindings.bind(array { $0.keyColumn })
            bindings.bind(array { $0.ownerColumn })
        }

        private func array(_ value: (TableShape) -> String?) -> ArrayBinding {
            var array = ArrayBinding(of: .text, reserving: tables.count)
            for table in tables {
                if let text = value(table) { array.append(text) } else { array.appendNull() }
            }
            return array
        }

        struct Row {
            /// Among the tables asked for, from 1.
            let place: Int64
            let kind: String
            let object: String?
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                place: try columns.next(Int64.self), kind: try columns.next(String.self),
                object: try columns.next(String?.self))
        }
    }

    /// Whether the session's role may write to the log: of the services, one watches over the
    /// tables.
    static let mayWrite = Statement(
        name: "sidecar_may_write", sql: "SELECT has_table_privilege('sync.change_log', 'INSERT')")

    /// What keeps plain SQL on registered tables from the log, or the session's role from their
    /// rows, at the moment: each table with the kind and what is named.
    ///
    /// A capture function of every version has in its text the list of columns that it was made
    /// for.
    struct ReadStates: TypedStatement {
        static let statement = Statement(
            name: "sidecar_table_states",
            sql: """
                SELECT c.schema_name, c.table_name, f.kind, f.object
                FROM sync.catalog c
                JOIN pg_namespace n ON n.nspname = c.schema_name
                JOIN pg_class r ON r.relnamespace = n.oid AND r.relname = c.table_name
                LEFT JOIN pg_proc p
                    ON p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'sync')
                    AND p.proname = 'capture_' || c.table_id
                CROSS JOIN LATERAL (
                    SELECT 'capture_off', k.count::text FROM (
                        SELECT count(*) FROM pg_trigger t
                        WHERE t.tgrelid = r.oid AND t.tgname ^@ 'oversync_capture_'
                            AND t.tgfoid = p.oid AND t.tgnargs = 0
                            AND t.tgenabled IN ('O', 'A')) AS k
                    WHERE k.count < \(CaptureTrigger.all.count)
                    UNION ALL
                    SELECT 'part_not_captured', pn.nspname || '.' || b.relname
                    FROM (\(CapturedPart.below("r.oid"))) AS b
                    JOIN pg_namespace pn ON pn.oid = b.relnamespace
                    WHERE p.oid IS NULL
                        OR \(CapturedPart.triggerCount(of: "b.oid", running: "p.oid"))
                            < \(CaptureTrigger.all.count)
                    UNION ALL
                    SELECT 'capture_reset', NULL
                    WHERE \(UncapturedTrigger.count(of: "r.oid", isOn: true, arguments: 1))
                        < \(UncapturedTrigger.all.count)
                    UNION ALL
                    SELECT 'uncaptured_writes',
                        to_char(min(w.recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                    FROM sync.uncaptured_write w WHERE w.table_id = c.table_id
                    HAVING count(*) > 0
                    UNION ALL
                    SELECT 'columns_changed', NULL
                    WHERE strpos(p.prosrc, '''' || replace(
                            \(WireRendering.columnListQuery(
                                relation: "r.oid", except: "coalesce(c.except_columns, '{}')")),
                        '''', '''''') || '''') = 0
                    UNION ALL
                    SELECT 'subscribed', NULL
                    WHERE EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = r.oid)
                    UNION ALL
                    SELECT CASE WHEN c.row_security THEN 'policies_off' ELSE 'row_security' END,
                        current_user
                    WHERE c.row_security <> row_security_active(r.oid)
                    UNION ALL
                    SELECT 'rows_hidden', o.rolname
                    FROM pg_proc h JOIN pg_roles o ON o.oid = h.proowner
                    WHERE h.oid = \(RoleStatements.storedRows)
                        AND (c.row_security OR row_security_active(r.oid))
                        AND \(RoleStatements.hides("r", from: "o"))
                ) AS f(kind, object)
                WHERE c.removed_at IS NULL AND c.mode = 'table' AND r.relkind IN ('r', 'p')
                ORDER BY 1, 2, 3
                """)

        struct Row {
            let table: TableName
            let kind: String
            let object: String?
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                table: try TableName(columns: &columns), kind: try columns.next(String.self),
                object: try columns.next(String?.self))
        }
    }
}
