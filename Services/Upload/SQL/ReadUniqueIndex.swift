import Model
import Postgres
import Sidecar

extension UploadStatements {
    /// An index and the columns that a row's place in it depends on. One row a column, members
    /// first; a row without a column where none can be written: a column that a foreign key points
    /// to carries its children along, or takes their references away.
    struct ReadUniqueIndex: TypedStatement {
        static let statement = Statement(
            name: "upload_read_unique_index",
            sql: """
                WITH violated AS (
                    SELECT coalesce(
                        (SELECT a.relid FROM pg_partition_ancestors(x.oid)
                            WITH ORDINALITY AS a(relid, n) ORDER BY a.n DESC LIMIT 1), x.oid) AS oid
                    FROM pg_class x JOIN pg_namespace n ON n.oid = x.relnamespace
                    WHERE n.nspname = $1 AND x.relname = $2 AND x.relkind IN ('i', 'I')
                ), needed AS (
                    SELECT i.indrelid, k.attnum, true AS is_member
                    FROM violated v JOIN pg_index i ON i.indexrelid = v.oid
                    CROSS JOIN LATERAL unnest(i.indkey::smallint[])
                        WITH ORDINALITY AS k(attnum, n)
                    WHERE k.n <= i.indnkeyatts AND k.attnum > 0
                    UNION
                    SELECT i.indrelid, d.refobjsubid, false
                    FROM violated v JOIN pg_index i ON i.indexrelid = v.oid
                    JOIN pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass
                        AND d.objid = v.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
                        AND d.refobjid = i.indrelid AND d.refobjsubid > 0
                ), columns AS (
                    SELECT needed.* FROM needed
                    UNION
                    SELECT b.indrelid, d.refobjsubid, false
                    FROM needed b
                    LEFT JOIN pg_attrdef e ON e.adrelid = b.indrelid AND e.adnum = b.attnum
                    JOIN pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass
                        AND d.refobjid = b.indrelid AND d.refobjsubid > 0
                        AND d.refobjsubid <> b.attnum
                        AND (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = b.indrelid
                                AND d.objsubid = b.attnum
                            OR d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = e.oid)
                ), written AS (
                    SELECT b.indrelid, a.attname, a.attnum, a.attnotnull, t.typtype,
                        bool_or(b.is_member) AS is_member,
                        EXISTS (SELECT FROM pg_constraint f
                            WHERE f.contype = 'f' AND f.conrelid = b.indrelid
                                AND NOT f.condeferrable AND a.attnum = ANY (f.conkey)) AS is_child
                    FROM columns b
                    JOIN pg_attribute a ON a.attrelid = b.indrelid AND a.attnum = b.attnum
                    JOIN pg_type t ON t.oid = a.atttypid
                    WHERE a.attgenerated = '' AND a.attidentity <> 'a' AND NOT EXISTS (
                        SELECT FROM pg_constraint f WHERE f.contype = 'f'
                            AND f.confrelid = b.indrelid AND a.attnum = ANY (f.confkey))
                    GROUP BY b.indrelid, a.attname, a.attnum, a.attnotnull, t.typtype
                )
                SELECT i.indexrelid::bigint, n.nspname, c.relname, xn.nspname, x.relname,
                    i.indimmediate, o.nulls_are_one,
                    (SELECT string_agg(pg_get_indexdef(i.indexrelid, p, false), ', ' ORDER BY p)
                        FROM generate_series(1, i.indnkeyatts) AS p),
                    pg_get_expr(i.indpred, i.indrelid), w.attname IS NOT NULL, w.attname,
                    w.is_member, NOT w.attnotnull AND NOT o.nulls_are_one, w.is_child,
                    w.typtype::text
                FROM violated v
                JOIN pg_index i ON i.indexrelid = v.oid
                JOIN pg_class x ON x.oid = v.oid
                JOIN pg_namespace xn ON xn.oid = x.relnamespace
                JOIN pg_class c ON c.oid = i.indrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL (
                    -- Of PostgreSQL 15 and later.
                    SELECT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
                        AS nulls_are_one
                ) AS o
                LEFT JOIN written w ON w.indrelid = i.indrelid
                ORDER BY w.is_member DESC, w.attnum
                """,
            parameters: [.text, .text])

        let index: ViolatedIndex

        struct Row {
            let id: Int64
            let table: TableName
            let quotedName: String
            let isImmediate: Bool
            let key: String
            let condition: String?
            let column: UniqueIndex.Column?
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(index.schema)
            bindings.bind(index.name)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let id = try columns.next(Int64.self)
            let table = TableName(
                schema: try columns.next(String.self), table: try columns.next(String.self))
            let schema = try columns.next(String.self)
            let name = try columns.next(String.self)
            let isImmediate = try columns.next(Bool.self)
            let nullsAreOne = try columns.next(Bool.self)
            let members = try columns.next(String.self)
            let condition = try columns.next(String?.self)
            return Row(
                id: id, table: table, quotedName: "\(quoted(schema)).\(quoted(name))",
                isImmediate: isImmediate, key: key(members, nullsAreOne: nullsAreOne),
                condition: condition, column: try column(&columns))
        }

        private static func column(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> UniqueIndex.Column? {
            guard try columns.next(Bool.self) else {
                columns.skipRest()
                return nil
            }
            return UniqueIndex.Column(
                name: try columns.next(String.self), isMember: try columns.next(Bool.self),
                isNullable: try columns.next(Bool.self),
                isForeignKey: try columns.next(Bool.self),
                kind: UniqueIndex.Kind(rawValue: try columns.next(String.self)) ?? .other)
        }

        private static func key(_ members: String, nullsAreOne: Bool) -> String {
            nullsAreOne
                ? "ROW(\(members))::text"
                : "CASE WHEN num_nulls(\(members)) = 0 THEN ROW(\(members))::text END"
        }
    }
}
