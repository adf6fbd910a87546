import Model
import Postgres

/// Compares a business table with the live rows that the sidecar says it has.
struct BusinessComparison {
    /// What becomes of a column that cannot be compared as others are.
    enum Treatment {
        /// It is compared as text.
        case text
        case leftOut
    }

    let table: RegisteredTable
    /// By column; the others are compared by value.
    var treatments: [String: Treatment] = [:]

    init(table: RegisteredTable) {
        self.table = table
    }

    /// Each row that is on one side only or differs, as `LogChecks` answer.
    var query: String {
        """
        SELECT coalesce(b.user_id, w.user_id) AS user_id, \(table.id)::int2 AS table_id,
            coalesce(b.key, w.key) AS key,
            CASE WHEN b.key IS NULL THEN '\(Difference.Kind.missingRow.rawValue)'
                WHEN \(isUnsendable) THEN '\(Difference.Kind.unsendableRow.rawValue)'
                WHEN w.key IS NULL THEN '\(Difference.Kind.unknownRow.rawValue)'
                ELSE '\(Difference.Kind.differentRow.rawValue)' END AS kind,
            CASE WHEN b.key IS NOT NULL AND \(isUnsendable)
                THEN format('bytes=%s key_bytes=%s', \(unsendable.size(rendered)), octet_length(b.key))
                WHEN b.key IS NOT NULL AND w.key IS NOT NULL
                THEN 'columns=' || array_to_string(d.columns, ',') END AS detail,
            coalesce(w.seq, 0) AS seq
        FROM \(businessRows) AS b
        FULL JOIN (
            SELECT s.user_id, r.key, r.seq, coalesce(m.payload, l.payload) AS payload
            FROM sync.row_state r
            JOIN sync.scope s USING (scope_id)
            LEFT JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq
            LEFT JOIN \(mergedPayloads) AS m ON m.scope_id = r.scope_id AND m.key = r.key
            WHERE r.table_id = \(table.id) AND NOT r.deleted AND \(isWanted("s.user_id"))
        ) AS w ON w.user_id = b.user_id AND w.key = b.key
        CROSS JOIN LATERAL (SELECT CASE WHEN \(Self.isUnreadable("w.payload"))
            THEN \(differingTexts)
            ELSE \(differingColumns(row: "b.t", payload: "w.payload")) END AS columns) AS d
        WHERE b.key IS NULL OR w.key IS NULL OR d.columns <> '{}'
        """
    }

    private var unsendable: UnsendableRow { UnsendableRow(table: table) }
    private var rendered: String { WireRendering.payload(of: table, row: "(b.t)") }

    /// Of a business row `b`; looked at where it differs from what devices have.
    private var isUnsendable: String {
        "(\(unsendable.hasBadKey("b.key")) OR \(unsendable.isTooLarge(rendered)))"
    }

    /// What all changes of a row since its last deletion add up to: devices may send only what they edited.
    private var mergedPayloads: String {
        """
        (SELECT l.scope_id, l.key, json_object_agg(e.key, e.value ORDER BY l.seq)
                FILTER (WHERE e.key IS NOT NULL) AS payload
            FROM sync.change_log l
            LEFT JOIN (
                SELECT scope_id, key, max(seq) AS seq FROM sync.change_log
                WHERE table_id = \(table.id) AND op = 'D' AND \(LogChecks.ofUser("change_log"))
                GROUP BY scope_id, key
            ) AS d ON d.scope_id = l.scope_id AND d.key = l.key
            -- A change that names no column is one too.
            LEFT JOIN LATERAL json_each(
                CASE WHEN NOT \(Self.isUnreadable("l.payload")) THEN l.payload END) AS e ON true
            WHERE l.table_id = \(table.id) AND l.seq > coalesce(d.seq, 0)
                AND \(LogChecks.ofUser("l"))
            GROUP BY l.scope_id, l.key
            HAVING count(DISTINCT l.seq) > 1
                AND NOT bool_or(coalesce(\(Self.isUnreadable("l.payload")), false)))
        """
    }

    private func isWanted(_ user: String) -> String {
        "(\(LogChecks.user) IS NULL OR \(user) = \(LogChecks.user))"
    }

    /// Compares all rows in one column, and answers how many differ.
    func query(of column: Column, as treatment: Treatment?) -> String {
        var one = self
        for other in WireRendering.shown(of: table) where other.name != column.name {
            one.treatments[other.name] = .leftOut
        }
        one.treatments[column.name] = treatment
        return "SELECT count(*) FROM (\(one.query)) AS c"
    }

    /// Brings the log in line with the business rows of the given keys, as `ChangeAppend` does; `$1` users,
    /// `$2` keys, `$3` the sequence that made each row when it was compared, `$4` whether rows that have gone
    /// are deleted for devices. A row that has changed since it was compared is left alone, and one that devices
    /// cannot take is left out.
    var reconcile: Statement {
        let keyValue =
            switch table.keyKind {
            case .uuid: "encode(w.key, 'hex')::uuid"
            case .text: "convert_from(w.key, 'UTF8')"
            case .integer: "convert_from(w.key, 'UTF8')::int8"
            }
        let owner = table.ownerColumn.map { "t.\(quoted($0))::text = w.user_id" } ?? "true"
        let changed = """
            SELECT CASE WHEN b.key IS NULL THEN 'D' WHEN coalesce(r.deleted, true) THEN 'I' ELSE 'U' END::"char"
                    AS op, w.n, w.user_id, w.key, b.payload
                FROM unnest($1::text[], $2::bytea[], $3::int8[])
                    WITH ORDINALITY AS w(user_id, key, seq, n)
                JOIN sync.scope s ON s.user_id = w.user_id
                LEFT JOIN sync.row_state r
                    ON r.scope_id = s.scope_id AND r.table_id = \(table.id) AND r.key = w.key
                LEFT JOIN LATERAL (
                    SELECT w.key, \(WireRendering.payload(of: table, row: "t")) AS payload
                    FROM \(table.name.quotedName) AS t
                    WHERE t.\(quoted(table.keyColumn)) = \(keyValue) AND \(owner)
                ) AS b ON true
                WHERE w.seq = CASE WHEN r.deleted THEN 0 ELSE coalesce(r.seq, 0) END
                    AND CASE WHEN b.key IS NULL THEN $4 ELSE NOT (\(unsendable.hasBadKey("w.key"))
                        OR \(unsendable.isTooLarge("b.payload"))) END
            """
        let sql = ChangeAppend(table: table).sql(changed: changed)
        return Statement(
            name: statementName("verify_reconcile", for: sql), sql: sql,
            parameters: [.textArray, .byteaArray, .int8Array, .bool])
    }

    /// The rows that belong to somebody.
    private var businessRows: String {
        let key = table.storedKey(of: "x")
        // The row, whatever its columns are called: `x` alone would mean a column of that name.
        let row = "(x.*)::\(table.name.quotedName) AS t"
        guard let owner = table.ownerColumn.map(quoted) else {
            return """
                (SELECT s.user_id, o.key, \(row) FROM \(table.name.quotedName) AS x
                    JOIN sync.key_owner o ON o.table_id = \(table.id) AND o.key = \(key)
                    JOIN sync.scope s ON s.scope_id = o.scope_id
                    WHERE \(isWanted("s.user_id")))
                """
        }
        return """
            (SELECT x.\(owner)::text AS user_id, \(key) AS key, \(row)
                FROM \(table.name.quotedName) AS x
                WHERE x.\(owner) IS NOT NULL AND \(isWanted("x.\(owner)::text")))
            """
    }

    /// JSON with an escaped U+0000, which a column of type json can hold and no function of
    /// PostgreSQL reads. No device sends it: the row was written by plain SQL, and its payload is
    /// the whole row.
    static func isUnreadable(_ payload: String) -> String {
        #"(strpos(\#(payload)::text, '\u0000') > 0"#
            + #" AND \#(payload)::text ~ '(^|[^\\])(\\\\)*\\u0000')"#
    }

    /// Of a row with such a payload, the columns that can hold it, if row and payload differ as
    /// text.
    private var differingTexts: String {
        let names = compared.filter { ComparableForm.canHoldUnreadable($0) }.map {
            literal($0.name)
        }
        return """
            CASE WHEN w.payload::text IS DISTINCT FROM \(rendered)::text
                    THEN ARRAY[\(names.joined(separator: ", "))]::text[] ELSE '{}' END
            """
    }

    /// The columns whose values are compared: all that devices see. No payload decides the key.
    var compared: [Column] {
        WireRendering.shown(of: table).filter { column in
            column.name != table.keyColumn && treatments[column.name] != .leftOut
        }
    }

    /// The columns whose value the payload does not give, and those with a value that it does not
    /// mention, as an array of names.
    private func differingColumns(row: String, payload: String) -> String {
        let compared = compared
        guard !compared.isEmpty else { return "'{}'::text[]" }
        let stored = StoredRow(table)
        let fields = compared.map { column in
            treatments[column.name] == .text
                ? "\(quoted(column.wireName)) \(column.plainType.name)" : stored.fields([column])
        }
        let tests = compared.map { column in
            let found = "(\(row)).\(quoted(column.name))"
            let isSame =
                treatments[column.name] == .text
                ? isSameText("p.\(quoted(column.wireName))", found)
                : stored.isSame(column, row: "(\(row))", payload: payload)
            return """
                CASE WHEN CASE WHEN (\(payload) -> \(literal(column.wireName))) IS NULL
                        THEN \(found) IS NOT NULL ELSE NOT \(isSame) END
                    THEN \(literal(column.name)) END
                """
        }
        return """
            (SELECT array_remove(ARRAY[\(tests.joined(separator: ", "))], NULL)
                FROM json_to_record(coalesce(\(payload), '{}')) AS p(\(fields.joined(separator: ", "))))
            """
    }

    private func isSameText(_ sent: String, _ stored: String) -> String {
        let form = ComparableForm.text
        return "(\(form.expression(sent)) IS NOT DISTINCT FROM \(form.expression(stored)))"
    }
}
