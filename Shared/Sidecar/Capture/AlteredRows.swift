import Model
import Postgres

/// The rows that an ALTER TABLE has changed for devices without a trigger: `ADD COLUMN … DEFAULT`
/// fills a column of all rows, and so may a new type, or a new name.
///
/// `oversync migrate` sends them before it makes the capture function again. The old function keeps
/// the columns that it was made for, so the next run continues an interrupted one. Writes meanwhile
/// are captured with the columns that there are.
struct AlteredRows {
    private static let cursor = "oversync_altered_rows"

    let table: RegisteredTable
    /// Of those that devices see, the columns that the capture function was not made for.
    let columns: [Column]

    /// Nil if no column that devices see has come or changed.
    private init?(_ table: RegisteredTable, _ names: [String]) {
        columns = WireRendering.shown(of: table).filter { names.contains($0.name) }
        guard !columns.isEmpty else { return nil }
        self.table = table
    }

    /// Sends the rows of all captured tables that stay registered as they are.
    ///
    /// Online, in small transactions; a rehearsal only mentions it.
    ///
    /// - Returns: what the operator should know, a line each.
    static func send(
        _ registrations: [TableRegistration], in run: MigrationRun
    ) async throws -> [String] {
        let connection = run.connection
        var names: [TableID: [String]] = [:]
        for row in try await connection.run(SidecarStatements.ReadAlteredColumns()).all() {
            names[row.table, default: []].append(row.column)
        }
        guard !names.isEmpty else { return [] }
        var remarks: [String] = []
        for table in try await Catalog.readTables(on: connection) {
            guard let altered = names[table.id].flatMap({ AlteredRows(table, $0) }),
                registrations.contains(where: { $0.name == table.name && $0.mode == .table }),
                table.columns.contains(where: { $0.name == table.keyColumn }),
                table.ownerColumn.map({ owner in table.columns.contains { $0.name == owner } })
                    ?? true
            else { continue }
            if let hidden = try await HiddenRows(of: table, on: connection) {
                remarks.append("\(table.name): \(hidden.description); altered rows were not sent")
                continue
            }
            remarks += try await altered.send(in: run)
        }
        return remarks
    }

    private func send(in run: MigrationRun) async throws -> [String] {
        let list = columns.map { quoted($0.name) }.joined(separator: ", ")
        try await run.transaction {
            run.mention(
                "-- in small transactions, as changes of the server",
                for: "Sends the rows of \(table.name) that ALTER TABLE gave other values: \(list)")
        }
        if run.isRehearsal { return [] }
        let connection = run.connection
        // It outlives the transaction, and the batches are committed one by one.
        try await connection.execute(
            script: """
                BEGIN; \(RenderingSettings.local);
                DECLARE \(Self.cursor) NO SCROLL CURSOR WITH HOLD FOR \(query);
                COMMIT
                """)
        let repair = Repair(connection: connection, acceptsDeletes: false)
        var sent: Int64 = 0
        do {
            while true {
                let rows = try await connection.run(FetchRows()).all()
                if rows.isEmpty { break }
                sent += try await repair.mend(rows.map(difference))
            }
            try await connection.execute(script: "CLOSE \(Self.cursor)")
        } catch {
            try? await connection.execute(script: "ROLLBACK; CLOSE \(Self.cursor)")
            throw error
        }
        return sent == 0
            ? [] : ["\(table.name): sent \(sent) rows that ALTER TABLE gave other values: \(list)"]
    }

    private func difference(_ row: FetchRows.Row) -> Difference {
        Difference(
            kind: .differentRow, user: row.user, table: table.name,
            key: row.key.withUnsafeBufferPointer { RowKey(stored: $0, kind: table.keyKind) },
            detail: "", sequence: row.sequence)
    }

    /// Live rows whose newest change does not say what these columns have. It may say less than
    /// devices have: a column that was added since is not part of it.
    private var query: String {
        let key = table.storedKey(of: "t")
        let scope =
            table.ownerColumn.map { "JOIN sync.scope s ON s.user_id = t.\(quoted($0))::text" }
                ?? """
                JOIN sync.key_owner o ON o.table_id = \(table.id) AND o.key = \(key)
                JOIN sync.scope s ON s.scope_id = o.scope_id
                """
        let items = columns.map {
            "\(WireRendering.expression($0, "t")) AS \(quoted($0.name.lowercased()))"
        }
        let stored = WireRendering.payload(columns: items.joined(separator: ", "))
        let unreadable = BusinessComparison.isUnreadable("l.payload")
        let tests = columns.map { column in
            let name = literal(column.name.lowercased())
            return """
                nullif((known.payload -> \(name))::text, 'null')
                    IS DISTINCT FROM nullif((stored.payload -> \(name))::text, 'null')
                """
        }
        return """
            SELECT s.user_id, r.key, r.seq
            FROM \(table.name.quotedName) AS t
            \(scope)
            JOIN sync.row_state r
                ON r.scope_id = s.scope_id AND r.table_id = \(table.id) AND r.key = \(key)
            LEFT JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq
            CROSS JOIN LATERAL (SELECT CASE WHEN NOT \(unreadable) THEN l.payload END AS payload)
                AS known
            CROSS JOIN LATERAL (SELECT \(stored) AS payload) AS stored
            WHERE NOT r.deleted AND (known.payload IS NULL OR \(tests.joined(separator: " OR ")))
            ORDER BY r.scope_id, r.seq
            """
    }

    private struct FetchRows: TypedStatement {
        static let statement = Statement(
            name: "migrate_altered_rows", sql: "FETCH \(Repair.batchRows) FROM \(cursor)")

        struct Row {
            let user: String
            let key: [UInt8]
            let sequence: Sequence64
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                user: try columns.next(String.self), key: try columns.next([UInt8].self),
                sequence: try columns.next(Int64.self))
        }
    }
}

extension SidecarStatements {
    /// The columns of captured tables that their functions were not made for, with these names and
    /// types. A function of every version has in its text the list of those that it was made for.
    struct ReadAlteredColumns: TypedStatement {
        static let statement = Statement(
            name: "sidecar_altered_columns",
            sql: """
                SELECT c.table_id, a.attname
                FROM sync.catalog c
                JOIN pg_proc p ON p.pronamespace = to_regnamespace('sync')
                    AND p.proname = 'capture_' || c.table_id
                CROSS JOIN LATERAL (SELECT replace(
                    substring(p.prosrc FROM '<> ''((?:[^'']|'''')*)'' THEN'), '''''', '''')
                    AS text) AS list
                JOIN pg_attribute a
                    ON a.attrelid = to_regclass(format('%I.%I', c.schema_name, c.table_name))
                    AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.removed_at IS NULL AND c.mode = 'table'
                    AND strpos(', ' || list.text || ', ', format(
                        ', "%s" %s, ', replace(a.attname, '"', '""'), a.atttypid)) = 0
                ORDER BY c.table_id, a.attnum
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (table: TableID, column: String) {
            (try columns.next(Int16.self), try columns.next(String.self))
        }
    }
}
