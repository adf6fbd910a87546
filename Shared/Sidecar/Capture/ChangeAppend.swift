import Model

/// Appends the server's own changes of one table to the logs of their users, set-wise.
///
/// The caller has locked the scopes in an earlier statement, so that this one reads what was committed
/// before it got them.
package struct ChangeAppend {
    /// The number of the writer that plain SQL counts as: no device has it, and none has its empty name.
    package static let sourceNumber: Int32 = 0

    let table: RegisteredTable

    /// - Parameters:
    ///   - changed: a query of `op`, `n` (order of writing), `user_id`, `key`, `payload`; each row once.
    ///   - exception: a condition on the change `c`, its scope `s` and its row state `r` that leaves it out.
    /// - Returns: SQL that answers how many changes were appended; a caller in plpgsql adds ` INTO x;`.
    func sql(changed: String, except exception: String = "false") -> String {
        // Deletes go before upserts, as a unique value may move from one row to another.
        """
        WITH changed AS (
            \(changed)
        ), numbered AS (
            SELECT c.op, c.key, c.payload, s.scope_id, coalesce(r.version, 0) + 1 AS version,
                s.last_seq + row_number() OVER (
                    PARTITION BY s.scope_id ORDER BY c.op = 'D' DESC, c.n) AS seq
            FROM changed c
            JOIN sync.scope s ON s.user_id = c.user_id
            LEFT JOIN sync.row_state r
                ON r.scope_id = s.scope_id AND r.table_id = \(table.id) AND r.key = c.key
            WHERE NOT (\(exception)) AND NOT (c.op = 'D' AND coalesce(r.deleted, true))
                AND NOT (c.op = 'U' AND coalesce(r.deleted, false) AND \(wasLoggedJustNow))
        ), logged AS (
            INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
                source_change_id, content_hash)
            SELECT n.scope_id, n.seq, \(table.id), n.op, n.key, n.version, \(sendablePayload),
                \(Self.sourceNumber), n.seq, 0
            FROM numbered n
        ), stated AS (
            INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
            SELECT n.scope_id, \(table.id), n.key, n.version, n.seq, n.op = 'D' FROM numbered n
            ON CONFLICT (scope_id, table_id, key) DO UPDATE
            SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
        ), advanced AS (
            UPDATE sync.scope s SET last_seq = n.last_seq
            FROM (SELECT scope_id, max(seq) AS last_seq FROM numbered GROUP BY scope_id) AS n
            WHERE s.scope_id = n.scope_id
        )\(disowned)
        SELECT count(*) FROM numbered
        """
    }

    /// Of rows that foreign keys have both written to and deleted within one statement PostgreSQL may tell the
    /// deletes first.
    private var wasLoggedJustNow: String {
        """
        statement_timestamp() = (SELECT l.ts FROM sync.change_log l
                    WHERE l.scope_id = s.scope_id AND l.seq = r.seq)
        """
    }

    /// The payload of a change that devices can take; any other stops the statement. See
    /// `Docs/decisions/0008-rows-devices-cannot-take.md`.
    private var sendablePayload: String {
        let row = UnsendableRow(table: table)
        let key =
            "format('Key (%s)=(%s).', \(literal(table.keyColumn)), left(\(row.keyText("n.key")), 64))"
        return """
            CASE WHEN n.op = 'D' THEN NULL
                WHEN \(row.isTooLarge("n.payload")) THEN sync.refuse_row('54000',
                    format('a row of \(table.name) is too large for devices: %s bytes as JSON, at most %s',
                        \(row.size("n.payload")), \(UnsendableRow.largestBytes)), \(key),
                    'Keep large values outside of registered tables, and a reference to them in the row.')
                WHEN \(row.hasBadKey("n.key")) THEN sync.refuse_row('23514',
                    format('a key of \(table.name) has %s bytes; devices take 1 to %s',
                        octet_length(n.key), \(RowKey.maximumTextBytes)), \(key),
                    'Choose another key.')
                ELSE n.payload END
            """
    }

    /// A key whose row has gone is anybody's again.
    private var disowned: String {
        guard table.ownerColumn == nil else { return "" }
        return """
            , disowned AS (
                DELETE FROM sync.key_owner o USING numbered n
                WHERE n.op = 'D' AND o.table_id = \(table.id) AND o.key = n.key
            )
            """
    }
}
