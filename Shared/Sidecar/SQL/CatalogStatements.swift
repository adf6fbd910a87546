import Model
import Postgres

extension SidecarStatements {
    /// The type `t`, or what a domain is made of, which may be a domain itself.
    private static let baseType = """
        CASE WHEN t.typtype = 'd' THEN (
            WITH RECURSIVE chain AS (
                SELECT b.oid, b.typtype, b.typbasetype FROM pg_type b WHERE b.oid = t.typbasetype
                UNION ALL
                SELECT b.oid, b.typtype, b.typbasetype
                FROM chain d JOIN pg_type b ON b.oid = d.typbasetype WHERE d.typtype = 'd'
            ) SELECT oid FROM chain WHERE typtype <> 'd') ELSE t.oid END
        """

    /// A default that is the next number of one sequence, as `pg_get_expr` shows it.
    private static let plainNextval = #"'^nextval\(''([^'']|'''')+''::regclass\)$'"#

    /// The tables that are or were registered.
    struct ReadRegisteredTables: TypedStatement {
        static let statement = Statement(
            name: "sidecar_registered_tables",
            sql: """
                SELECT table_id, schema_name, table_name, key_kind, key_column, mode, owner_column,
                    removed_at IS NOT NULL, array_to_string(read_roles, ','), read_patterns::text,
                    array_to_string(write_roles, ','), write_patterns::text,
                    to_json(except_columns)::text,
                    read_only_columns::text, row_security,
                    EXISTS (
                        SELECT FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
                        WHERE n.nspname = schema_name AND r.relname = table_name
                            AND row_security_active(r.oid))
                FROM sync.catalog ORDER BY schema_name, table_name
                """)

        struct Row {
            let id: TableID
            let name: TableName
            let keyKind: KeyKind
            let keyColumn: String
            let mode: TableMode
            let ownerColumn: String?
            let isRemoved: Bool
            let access: TableAccess
            let withheld: WithheldColumns
            let policies: TablePolicies
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                id: try columns.next(Int16.self), name: try TableName(columns: &columns),
                keyKind: KeyKind(rawValue: try columns.next(String.self)) ?? .uuid,
                keyColumn: try columns.next(String.self),
                mode: TableMode(rawValue: try columns.next(String.self)) ?? .sidecar,
                ownerColumn: try columns.next(String?.self),
                isRemoved: try columns.next(Bool.self),
                access: TableAccess(
                    readers: try grantees(&columns), writers: try grantees(&columns)),
                withheld: WithheldColumns(
                    except: try columns.next(String?.self),
                    readOnly: try columns.next(String?.self)),
                policies: TablePolicies(
                    isWanted: try columns.next(Bool.self),
                    isActive: try columns.next(Bool.self)))
        }

        private static func grantees(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> Grantees? {
            let roles = try columns.next(String?.self)
            return Grantees(roles: roles, patterns: try columns.next(String?.self))
        }
    }

    /// The columns of the given tables, with the schema of the type and the sequence of the
    /// default or identity; a column whose default calls several sequences has a row for each.
    /// `pg_catalog` and not `information_schema`, which hides what the role does not own.
    struct ReadColumns: TypedStatement {
        static let statement = Statement(
            name: "sidecar_columns",
            sql: """
                SELECT n.nspname || '.' || c.relname, a.attname,
                    format_type(a.atttypid, a.atttypmod),
                    b.oid::bigint,
                    a.attgenerated <> '' OR a.attidentity = 'a',
                    a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', t.oid::bigint,
                    format_type(b.oid, -1), ascii(b.typcategory), a.atttypmod <> -1,
                    a.atthasdef AND a.attgenerated = '' OR a.attidentity = 'd'
                        OR t.typdefault IS NOT NULL,
                    a.attnotnull OR t.typnotnull, tn.nspname, s.schema_name, s.sequence_name,
                    s.sequence::bigint, s.gives_keys, s.is_identity
                FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                JOIN pg_type t ON t.oid = a.atttypid
                JOIN pg_type b ON b.oid = \(baseType)
                JOIN pg_namespace tn ON tn.oid = t.typnamespace
                LEFT JOIN LATERAL (
                    SELECT sn.nspname AS schema_name, r.relname AS sequence_name,
                        r.oid AS sequence, u.is_plain AND NOT q.seqcycle AS gives_keys,
                        u.is_identity
                    FROM (
                        SELECT p.refobjid AS oid,
                            pg_get_expr(d.adbin, d.adrelid) ~ \(plainNextval) AS is_plain,
                            false AS is_identity
                        FROM pg_attrdef d
                        JOIN pg_depend p ON p.objid = d.oid
                            AND p.classid = 'pg_catalog.pg_attrdef'::regclass
                            AND p.refclassid = 'pg_catalog.pg_class'::regclass
                        WHERE d.adrelid = c.oid AND d.adnum = a.attnum
                        UNION ALL
                        SELECT p.objid, true, true
                        FROM pg_depend p
                        WHERE a.attidentity <> '' AND p.deptype = 'i'
                            AND p.refclassid = 'pg_catalog.pg_class'::regclass
                            AND p.refobjid = c.oid AND p.refobjsubid = a.attnum
                            AND p.classid = 'pg_catalog.pg_class'::regclass
                    ) AS u
                    JOIN pg_class r ON r.oid = u.oid AND r.relkind = 'S'
                    JOIN pg_namespace sn ON sn.oid = r.relnamespace
                    JOIN pg_sequence q ON q.seqrelid = r.oid
                ) AS s ON true
                WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY ($1)
                ORDER BY 1, a.attnum, s.schema_name, s.sequence_name
                """,
            parameters: [.textArray])

        let tables: ArrayBinding

        struct Row {
            /// As `TableName.description`.
            let table: String
            let column: Column
            let typeSchema: String
            /// That the default calls.
            let sequence: TableName?
            /// The sequence, if its next number is all that the column is given.
            let keySequence: KeySequence?
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(tables)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let table = try columns.next(String.self)
            let columnName = try columns.next(String.self)
            let typeName = try columns.next(String.self)
            let baseType = UInt32(truncatingIfNeeded: try columns.next(Int64.self))
            let isReadOnly = try columns.next(Bool.self)
            let isRequired = try columns.next(Bool.self)
            let type = UInt32(truncatingIfNeeded: try columns.next(Int64.self))
            let plainType = PlainType(
                name: try columns.next(String.self),
                category: UInt8(truncatingIfNeeded: try columns.next(Int32.self)))
            let hasModifier = try columns.next(Bool.self)
            let hasDefault = try columns.next(Bool.self)
            let isNotNull = try columns.next(Bool.self)
            let typeSchema = try columns.next(String.self)
            let column = Column(
                name: columnName, typeName: typeName, type: type, baseType: baseType,
                plainType: plainType, hasModifier: hasModifier, isReadOnly: isReadOnly,
                isRequired: isRequired, hasDefault: hasDefault, isNotNull: isNotNull)
            let schema = try columns.next(String?.self)
            let name = try columns.next(String?.self)
            let oid = try columns.next(Int64?.self)
            let givesKeys = try columns.next(Bool?.self) ?? false
            let isIdentity = try columns.next(Bool?.self) ?? false
            let sequence = schema.map { TableName(schema: $0, table: name ?? "") }
            return Row(
                table: table, column: column, typeSchema: typeSchema,
                sequence: isIdentity ? nil : sequence,
                keySequence: givesKeys
                    ? sequence.map {
                        KeySequence(name: $0, oid: UInt32(truncatingIfNeeded: oid ?? 0))
                    } : nil)
        }
    }

    /// The foreign keys of the given tables, one row a column pair in key order.
    struct ReadForeignKeys: TypedStatement {
        static let statement = Statement(
            name: "sidecar_foreign_keys",
            sql: """
                SELECT n.nspname || '.' || c.relname, k.conname, pn.nspname, p.relname,
                    ca.attname, pa.attname,
                    \(baseType)::bigint,
                    k.condeferrable
                FROM pg_constraint k
                JOIN pg_class c ON c.oid = k.conrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
                JOIN pg_class p ON p.oid = k.confrelid
                JOIN pg_namespace pn ON pn.oid = p.relnamespace
                CROSS JOIN LATERAL unnest(k.conkey, k.confkey)
                    WITH ORDINALITY AS pair(child, parent, position)
                JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
                JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
                JOIN pg_type t ON t.oid = pa.atttypid
                WHERE k.contype = 'f' AND k.conparentid = 0
                    AND n.nspname || '.' || c.relname = ANY ($1)
                ORDER BY 1, k.conname, pair.position
                """,
            parameters: [.textArray])

        let tables: ArrayBinding

        struct Row {
            /// As `TableName.description`.
            let table: String
            let name: String
            let parent: TableName
            let pair: ForeignKey.Pair
            let isDeferrable: Bool
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(tables)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                table: try columns.next(String.self), name: try columns.next(String.self),
                parent: try TableName(columns: &columns),
                pair: ForeignKey.Pair(
                    child: try columns.next(String.self), parent: try columns.next(String.self),
                    parentType: UInt32(truncatingIfNeeded: try columns.next(Int64.self))),
                isDeferrable: try columns.next(Bool.self))
        }
    }

    /// Unique indexes (constraints or not) without a condition or expression: what a key can rest
    /// on unless they are deferrable. One row a column, in the index's order.
    struct ReadUniqueKeys: TypedStatement {
        static let statement = Statement(
            name: "sidecar_unique_keys",
            sql: """
                SELECT n.nspname || '.' || c.relname, i.indexrelid::bigint, a.attname,
                    i.indisprimary, i.indimmediate
                FROM pg_index i
                JOIN pg_class c ON c.oid = i.indrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL unnest(i.indkey::smallint[])
                    WITH ORDINALITY AS k(attnum, position)
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL
                    AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
                    AND n.nspname || '.' || c.relname = ANY ($1)
                ORDER BY 1, NOT i.indisprimary, 2, k.position
                """,
            parameters: [.textArray])

        let tables: ArrayBinding

        struct Row {
            /// As `TableName.description`.
            let table: String
            /// Tells one index from another.
            let index: Int64
            let column: String
            let isPrimary: Bool
            /// It is not deferrable.
            let isUsable: Bool
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(tables)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                table: try columns.next(String.self), index: try columns.next(Int64.self),
                column: try columns.next(String.self), isPrimary: try columns.next(Bool.self),
                isUsable: try columns.next(Bool.self))
        }
    }

    /// The tables among the given ones with triggers of the team that are on, and whether one can
    /// change rows before they are stored; also triggers of a partition, or of a table that
    /// inherits, at any depth.
    struct ReadRowTriggers: TypedStatement {
        static let statement = Statement(
            name: "sidecar_row_triggers",
            sql: """
                SELECT n.nspname || '.' || c.relname, bool_or(g.may_change)
                FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL (
                    WITH RECURSIVE part AS (
                        SELECT c.oid
                        UNION SELECT h.inhrelid
                        FROM part JOIN pg_inherits h ON h.inhparent = part.oid
                    )
                    SELECT g.tgtype & \(isOfRowBefore) = \(isOfRowBefore)
                        AND g.tgtype & \(isOfInsertOrUpdate) <> 0 AS may_change
                    FROM part
                    JOIN pg_trigger g ON g.tgrelid = part.oid
                    JOIN pg_proc p ON p.oid = g.tgfoid
                    WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A')
                        AND p.pronamespace IS DISTINCT FROM to_regnamespace('sync')
                ) AS g
                WHERE n.nspname || '.' || c.relname = ANY ($1)
                GROUP BY 1
                """,
            parameters: [.textArray])

        /// The bits of `pg_trigger.tgtype`: for each row, before the statement writes it.
        private static let isOfRowBefore = 1 | 2
        /// On an insert, on an update.
        private static let isOfInsertOrUpdate = 4 | 16

        let tables: ArrayBinding

        struct Row {
            /// As `TableName.description`.
            let table: String
            let mayChangeRows: Bool
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(tables)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                table: try columns.next(String.self),
                mayChangeRows: try columns.next(Bool.self))
        }
    }

    /// What compares rows with each other: unique indexes of any kind and exclusion constraints,
    /// also those of a partition, or of a table that inherits, at any depth. One row for each
    /// column of a unique index, without one for an expression; one for an exclusion constraint.
    struct ReadComparisons: TypedStatement {
        static let statement = Statement(
            name: "sidecar_comparisons",
            sql: """
                SELECT n.nspname || '.' || c.relname, i.indexrelid::bigint, i.attname
                FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL (
                    WITH RECURSIVE part AS (
                        SELECT c.oid
                        UNION SELECT h.inhrelid
                        FROM part JOIN pg_inherits h ON h.inhparent = part.oid
                    )
                    SELECT x.indexrelid, a.attname
                    FROM part
                    JOIN pg_index x ON x.indrelid = part.oid
                        AND (x.indisunique OR x.indisexclusion)
                    LEFT JOIN LATERAL unnest(x.indkey::smallint[])
                        WITH ORDINALITY AS k(attnum, position)
                        ON k.position <= x.indnkeyatts AND NOT x.indisexclusion
                    LEFT JOIN pg_attribute a ON a.attrelid = part.oid AND a.attnum = k.attnum
                ) AS i
                WHERE n.nspname || '.' || c.relname = ANY ($1)
                """,
            parameters: [.textArray])

        let tables: ArrayBinding

        struct Row {
            /// As `TableName.description`.
            let table: String
            /// Tells one index from another.
            let index: Int64
            let column: String?
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(tables)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                table: try columns.next(String.self), index: try columns.next(Int64.self),
                column: try columns.next(String?.self))
        }
    }
}
