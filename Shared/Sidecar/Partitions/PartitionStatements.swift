import Postgres

/// Statements that read what a conversion must keep. Names are as SQL takes them, with their
/// schemas: the session's `search_path` is `pg_catalog` alone.
package enum PartitionStatements {
    /// The tables that are split, by their names in `sync`.
    static let tables = ["change_log", "row_state"]

    private static let ours = """
        (SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'sync'::regnamespace AND c.relname IN ('change_log', 'row_state'))
        """

    /// How many partitions each table has; 1 for a table that is not split.
    struct ReadCounts: TypedStatement {
        static let statement = Statement(
            name: "partitions_counts",
            sql: """
                SELECT c.relname::text, CASE WHEN c.relkind = 'p' THEN (
                    SELECT count(*) FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
                    ELSE 1 END
                FROM pg_catalog.pg_class c WHERE c.oid IN \(ours) ORDER BY 1
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (table: String, partitions: Int64) {
            (try columns.next(String.self), try columns.next(Int64.self))
        }
    }

    /// The tables that hold rows: the partitions of a table that has any, else itself.
    struct ReadLeaves: TypedStatement {
        static let statement = Statement(
            name: "partitions_leaves",
            sql: """
                SELECT coalesce(p.relname, c.relname)::text, c.relname::text,
                    pg_relation_size(c.oid) / current_setting('block_size')::bigint,
                    pg_total_relation_size(c.oid),
                    greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0),
                    (SELECT string_agg(format('%s = %s', t.option_name, t.option_value), ', ')
                        FROM pg_options_to_table(c.reloptions) AS t)
                FROM pg_catalog.pg_class c
                LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
                LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
                WHERE c.relkind = 'r' AND coalesce(p.oid, c.oid) IN \(ours)
                ORDER BY 1, length(c.relname), 2
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> PartitionLeaf {
            PartitionLeaf(
                table: try columns.next(String.self), name: try columns.next(String.self),
                pages: try columns.next(Int64.self), bytes: try columns.next(Int64.self),
                rows: try columns.next(Int64.self), options: try columns.next(String?.self))
        }
    }

    /// Statements that make again what depends on a table, in an order that works.
    struct ReadRemakings: TypedStatement {
        static let statement = Statement(
            name: "partitions_remakings",
            sql: """
                WITH ours AS (
                    SELECT c.oid, c.relname, c.relowner, c.relacl, c.oid::regclass AS name
                    FROM pg_catalog.pg_class c WHERE c.oid IN \(ours)
                ), views AS (
                    SELECT DISTINCT v.oid, v.relname, v.reloptions, n.nspname
                    FROM pg_catalog.pg_depend d
                    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
                    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
                    JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
                    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
                        AND d.refclassid = 'pg_catalog.pg_class'::regclass
                        AND d.refobjid IN (SELECT oid FROM ours)
                )
                SELECT 1 AS place, v.nspname || '.' || v.relname,
                    format('CREATE OR REPLACE VIEW %I.%I%s AS %s', v.nspname, v.relname,
                        ' WITH (' || nullif(array_to_string(v.reloptions, ', '), '') || ')',
                        pg_get_viewdef(v.oid)), false
                FROM views v
                UNION ALL
                SELECT 2, k.conname, format('ALTER TABLE %s ADD CONSTRAINT %I %s', o.name,
                    k.conname, pg_get_constraintdef(k.oid)), true
                FROM pg_catalog.pg_constraint k JOIN ours o ON o.oid = k.conrelid
                WHERE k.contype IN ('p', 'u', 'x')
                UNION ALL
                SELECT 3, c.relname,
                    replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), true
                FROM pg_catalog.pg_index i JOIN ours o ON o.oid = i.indrelid
                JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
                WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
                UNION ALL
                SELECT 4, o.relname, format('GRANT %s ON %s TO %s%s', a.privilege_type, o.name,
                    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), true
                FROM ours o CROSS JOIN LATERAL aclexplode(o.relacl) AS a
                WHERE a.grantee <> o.relowner
                UNION ALL
                SELECT 5, o.relname, format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type,
                    c.attname, o.name,
                    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), true
                FROM ours o JOIN pg_catalog.pg_attribute c ON c.attrelid = o.oid AND c.attnum > 0
                CROSS JOIN LATERAL aclexplode(c.attacl) AS a
                UNION ALL
                SELECT 6, o.relname, format('COMMENT ON TABLE %s IS %L', o.name,
                    obj_description(o.oid, 'pg_class')), true
                FROM ours o WHERE obj_description(o.oid, 'pg_class') IS NOT NULL
                ORDER BY 1, 2, 3
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> PartitionRemaking {
            PartitionRemaking(
                place: try columns.next(Int32.self), object: try columns.next(String.self),
                sql: try columns.next(String.self), isFinal: try columns.next(Bool.self))
        }
    }

    /// What stands on one of the tables and would be lost, in words, and whether the session's role
    /// may replace the tables.
    struct ReadObstacles: TypedStatement {
        static let statement = Statement(
            name: "partitions_obstacles",
            sql: """
                WITH parts AS (
                    SELECT oid FROM pg_catalog.pg_class WHERE oid IN \(ours)
                    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i
                    WHERE i.inhparent IN \(ours)
                )
                SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
                FROM pg_catalog.pg_depend d
                LEFT JOIN pg_catalog.pg_rewrite r
                    ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
                LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
                LEFT JOIN pg_catalog.pg_constraint k
                    ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
                LEFT JOIN pg_catalog.pg_trigger g
                    ON d.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = d.objid
                WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
                    AND d.refobjid IN (SELECT oid FROM parts)
                    AND d.classid <> ALL (ARRAY['pg_catalog.pg_class', 'pg_catalog.pg_attrdef',
                        'pg_catalog.pg_type', 'pg_catalog.pg_statistic_ext']::regclass[])
                    AND v.relkind IS DISTINCT FROM 'v'
                    AND (k.oid IS NULL OR k.contype = 'f' AND k.conparentid = 0
                        OR k.contype = 't')
                    AND (g.oid IS NULL OR NOT g.tgisinternal)
                UNION ALL
                SELECT 'row-level security of ' || oid::regclass FROM pg_catalog.pg_class
                WHERE oid IN \(ours) AND relrowsecurity
                UNION ALL
                SELECT 'the owner of ' || oid::regclass || ', ' || relowner::regrole
                    || ': run oversync migrate as this role'
                FROM pg_catalog.pg_class
                WHERE oid IN \(ours) AND relowner::regrole::text <> quote_ident(current_user)
                ORDER BY 1
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }

    /// Sessions of services that use the tables: by their roles, and by their names where they
    /// connect as somebody else. Of more than ten, the first.
    struct ReadServices: TypedStatement {
        static let statement = Statement(
            name: "partitions_services",
            sql: """
                SELECT DISTINCT
                    coalesce(nullif(a.application_name, ''), a.usename::text, 'a session')
                FROM pg_catalog.pg_stat_activity a
                WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                    AND (a.usename IN (SELECT r.name FROM sync.role r WHERE r.purpose <> 'auth')
                        OR a.application_name ~ '^oversync-(upload|download)')
                ORDER BY 1 LIMIT 10
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }

    package static let all = [
        ReadCounts.statement, ReadLeaves.statement, ReadRemakings.statement,
        ReadObstacles.statement, ReadServices.statement,
    ]
}

/// A table that holds rows: a partition, or a table that has none.
struct PartitionLeaf: Hashable {
    /// The table that it belongs to.
    let table: String
    let name: String
    let pages: Int64
    /// With TOAST and indexes.
    let bytes: Int64
    /// As PostgreSQL estimates.
    let rows: Int64
    /// Its storage parameters, as SQL writes them.
    let options: String?
}

/// A statement that makes again what a conversion takes away.
struct PartitionRemaking: Hashable {
    /// The kind of object, in the order in which they are made.
    let place: Int32
    let object: String
    let sql: String
    /// It follows the rows, and the end of the former tables.
    let isFinal: Bool
}
