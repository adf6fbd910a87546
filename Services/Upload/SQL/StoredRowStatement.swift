import Model
import Postgres
import Sidecar

/// Logs changes as the table has stored them, where that is another row than a device sent (promise
/// P4). It follows the statement that wrote the rows, one for each (`MaterializeStatement`), and
/// takes the place of `UploadStatements.appendLog` for their changes.
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
    init?(
        _ table: UploadTable, _ shape: BusinessWrites.Shape,
        expecting rows: MaterializeStatement.Expectation
    ) {
        guard shape.kind != .delete else { return nil }
        func mayDiffer(isOrdinary: Bool) -> Bool {
            shape.isOverruled || rows == .anything
                || StoredRow.mayDiffer(
                    table.registered, isCreation: shape.kind == .create, isOrdinary: isOrdinary,
                    names: shape.columns.contains)
        }
        guard mayDiffer(isOrdinary: false) else { return nil }
        concernsOrdinary = mayDiffer(isOrdinary: true)
        let sql = Self.sql(table.registered, shape, expecting: rows)
        statement = Statement(
            name: MaterializeStatement.name(of: sql, table, prefix: Self.namePrefix), sql: sql,
            parameters: [
                .int8, .text, .int4, .int8, table.registered.keyKind.arrayType,
            ] + LogRows.types)
    }

    /// A condition that compares a row `t` with its change `u`.
    private static func differs(
        _ table: RegisteredTable, _ shape: BusinessWrites.Shape,
        expecting rows: MaterializeStatement.Expectation
    ) -> String {
        // The payloads are not what the rows hold.
        if shape.isOverruled { return "true" }
        func differs(_ before: StoredRow.Before) -> String {
            StoredRow(table).differs(
                row: "t", payload: "u.payload", before: before, names: shape.columns.contains)
        }
        switch (shape.kind, rows) {
        case (.update, .asRecorded): return differs(.logged)
        // A row that was deleted unnoticed is inserted again, and has defaults in addition to what
        // was sent.
        case (.update, .anything):
            return "CASE WHEN \(MaterializeStatement.hasInsertedNone) "
                + "THEN \(differs(.logged)) ELSE \(differs(.unlogged)) END"
        // A row that the log does not know is taken over, with all that it has.
        case (_, .anything): return differs(.unlogged)
        case (_, .asRecorded): return differs(.nothing)
        }
    }

    /// `$1` the scope, `$2` its user, `$3` the device, `$4` how many changes there are, `$5` the
    /// keys of their rows; then the changes (`LogRows`).
    ///
    /// Rows that have gone since were deleted by a trigger, which their states tell. Any other that
    /// is not under its key has been given another key or owner by one: the statement stops, as
    /// where a trigger leaves a row out.
    private static func sql(
        _ table: RegisteredTable, _ shape: BusinessWrites.Shape,
        expecting rows: MaterializeStatement.Expectation
    ) -> String {
        let differs = differs(table, shape, expecting: rows)
        let payload = StoredRow(table).payload(
            row: "t", sent: "u.payload", hasMore: shape.hasMore, storedKey: "u.key")
        let owner = table.ownerColumn.map { " AND t.\(quoted($0)) = \(table.ownerValue("$2"))" }
        let key = "t.\(quoted(table.keyColumn))"
        let logged = LogRows.columns(of: "f", payload: "coalesce(f.stored, f.payload)")
        let lookUp =
            (HidingPolicies(table)?.rows(under: "$5")).map { rows in
                """
                LEFT JOIN (
                        SELECT t.* FROM \(rows) AS t WHERE true\(owner ?? "")
                    ) AS t ON \(key) = u.row_key
                """
            }
                ?? """
                LEFT JOIN LATERAL (
                        SELECT t.* FROM \(table.name.quotedName) AS t
                        WHERE \(key) = u.row_key\(owner ?? "") LIMIT 1
                    ) AS t ON true
                """
        return """
            WITH found AS MATERIALIZED (
                SELECT \(LogRows.columns(of: "u")), \(key) IS NOT NULL AS is_there,
                    CASE WHEN \(key) IS NOT NULL AND \(differs) THEN \(payload) END AS stored
                FROM unnest($5, \(LogRows.arguments(from: 6))) AS u(row_key, \(LogRows.columns))
                \(lookUp)
            ), logged AS (
                INSERT INTO sync.change_log (scope_id, source_no, \(LogRows.columns), ts)
                SELECT $1, $3, \(logged), \(LogRows.time(from: 6)) FROM found f
            ), noted AS (
                INSERT INTO sync.returned_table (scope_id, table_id)
                SELECT $1, \(table.id) WHERE EXISTS (SELECT FROM found f WHERE f.stored IS NOT NULL)
                ON CONFLICT DO NOTHING
            )
            SELECT sync.expect_rows((SELECT count(*) FROM found f WHERE f.is_there), $4 - CASE
                WHEN (SELECT bool_and(f.is_there) FROM found f) THEN 0
                ELSE (SELECT count(*) FROM found f
                    CROSS JOIN LATERAL (
                        SELECT r.deleted FROM sync.row_state r WHERE r.scope_id = $1
                            AND r.table_id = \(table.id) AND r.key = f.key LIMIT 1
                    ) AS r
                    WHERE NOT f.is_there AND r.deleted) END)
            WHERE $2 IS NOT NULL
            """
    }
}
