import Model
import Postgres
import Sidecar

/// Puts what a table has stored into the log where that is another row than a device sent (promise
/// P4). It follows the statement that wrote the rows, one for each (`MaterializeStatement`).
///
/// The change keeps its sequence, its version, its writer and the hash of what was sent, so that a
/// repeat of it is still known (V2). That some row of the table came out otherwise is noted for the
/// user: from then on devices get their own changes of the table, too, each in its place in the
/// log.
struct StoredRowStatement: Sendable {
    let statement: Statement
    /// False if only changes with other than ordinary values need it (`Change.isOrdinary`).
    let concernsOrdinary: Bool

    /// Begins as the names of the statements do that write rows: what it meets, their rows cause.
    private static let namePrefix = "\(MaterializeStatement.namePrefix)_stored"

    /// Nil where PostgreSQL stores nothing but what the statement is given.
    ///
    /// - Parameter isOverruled: the devices sent more than the payloads say
    ///   (`Change.isOverruled`), so that the stored row differs, whatever it is.
    init?(
        _ table: UploadTable, _ kind: MaterializeStatement.Kind, _ columns: ColumnSet,
        expecting rows: MaterializeStatement.Expectation, isOverruled: Bool
    ) {
        guard kind != .delete else { return nil }
        func mayDiffer(isOrdinary: Bool) -> Bool {
            isOverruled || rows == .anything
                || StoredRow.mayDiffer(
                    table.registered, isCreation: kind == .create, isOrdinary: isOrdinary,
                    names: columns.contains)
        }
        guard mayDiffer(isOrdinary: false) else { return nil }
        concernsOrdinary = mayDiffer(isOrdinary: true)
        let differs =
            isOverruled ? "true" : Self.differs(table.registered, kind, columns, expecting: rows)
        let sql = Self.sql(table.registered, differs)
        statement = Statement(
            name: MaterializeStatement.name(of: sql, table, prefix: Self.namePrefix), sql: sql,
            parameters: [
                .int8, .text, .int8Array,
                table.registered.keyKind == .uuid ? .uuidArray : .textArray, .int8,
            ])
    }

    private static func differs(
        _ table: RegisteredTable, _ kind: MaterializeStatement.Kind, _ columns: ColumnSet,
        expecting rows: MaterializeStatement.Expectation
    ) -> String {
        func differs(_ before: StoredRow.Before) -> String {
            StoredRow(table).differs(
                row: "t", payload: "l.payload", before: before, names: columns.contains)
        }
        switch (kind, rows) {
        case (.update, .asRecorded): return differs(.logged)
        // A row that had gone unseen is inserted again, and has defaults beside what was sent.
        case (.update, .anything):
            return "CASE WHEN \(MaterializeStatement.hasInsertedNone) "
                + "THEN \(differs(.logged)) ELSE \(differs(.unlogged)) END"
        // A row that the log does not know is taken over, with all that it has.
        case (_, .anything): return differs(.unlogged)
        case (_, .asRecorded): return differs(.nothing)
        }
    }

    /// `$1` the scope, `$2` its user, `$3` the changes' sequences, `$4` the keys of their rows,
    /// `$5` how many they are.
    ///
    /// The changes are updated where they lie, as this transaction alone can see them, and by no
    /// index (`+ 0`): a plan that was made for an empty log would read all of the scope's.
    ///
    /// Rows that have gone since were deleted by a trigger, which the log tells. Any other that is
    /// not under its key has been given another key or owner by one: the statement stops, as where
    /// a trigger leaves a row out.
    ///
    /// - Parameter differs: a condition of a row `t` beside its change's payload `l.payload`.
    private static func sql(_ table: RegisteredTable, _ differs: String) -> String {
        let payload = StoredRow(table).payload(
            row: "t", sent: "l.payload", storedKey: "l.key")
        let entries = "unnest($3, $4) AS u(seq, key)"
        let owner = table.ownerColumn.map { " AND t.\(quoted($0)) = \(table.ownerValue("$2"))" }
        return """
            WITH found AS MATERIALIZED (
                SELECT u.seq, l.place, CASE WHEN \(differs)
                    THEN \(payload) END AS payload
                FROM \(entries)
                CROSS JOIN LATERAL (
                    SELECT c.ctid AS place, c.payload, c.key FROM sync.change_log c
                    WHERE c.scope_id = $1 AND c.seq = u.seq LIMIT 1
                ) AS l
                CROSS JOIN LATERAL (
                    SELECT t.* FROM \(table.name.quotedName) AS t
                    WHERE t.\(quoted(table.keyColumn)) = u.key\(owner ?? "") LIMIT 1
                ) AS t
            ), changed AS (
                UPDATE sync.change_log AS l SET payload = f.payload FROM found f
                WHERE l.ctid = f.place AND l.scope_id + 0 = $1 AND l.seq + 0 = f.seq
                    AND f.payload IS NOT NULL
                RETURNING 1
            ), noted AS (
                INSERT INTO sync.returned_table (scope_id, table_id)
                SELECT $1, \(table.id) WHERE EXISTS (SELECT FROM changed)
                ON CONFLICT DO NOTHING
            )
            SELECT sync.expect_rows((SELECT count(*) FROM found), $5 - CASE
                WHEN (SELECT count(*) FROM found) = $5 THEN 0
                ELSE (SELECT count(*) FROM \(entries)
                    CROSS JOIN LATERAL (
                        SELECT r.deleted FROM sync.change_log c
                        JOIN sync.row_state r ON r.scope_id = $1 AND r.table_id = \(table.id)
                            AND r.key = c.key
                        WHERE c.scope_id = $1 AND c.seq = u.seq LIMIT 1
                    ) AS s
                    WHERE s.deleted AND NOT EXISTS (SELECT FROM found f WHERE f.seq = u.seq)) END)
            WHERE $2 IS NOT NULL
            """
    }
}
