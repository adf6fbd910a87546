import Model
import Postgres
import Sidecar

/// How statements write a table whose row-level security policies may hide rows from them.
///
/// A policy for SELECT decides what a statement reads, `RETURNING` and `ON CONFLICT` included. So
/// inserts have neither, and work where devices may only insert; what they have written is counted
/// by a statement that follows (`PresentRowsStatement`). Updates and deletes find their rows by the
/// key, which takes a policy for SELECT anyway.
///
/// Whether a row that a statement has not reached is hidden or gone is asked of `sync.stored_rows`,
/// which sees all rows of the table. Its answers are confined to the user's rows, as everywhere.
struct HidingPolicies {
    private let table: RegisteredTable

    /// Nil for a table whose rows are seen as they are.
    init?(_ table: RegisteredTable) {
        guard table.policies.mayHide else { return nil }
        self.table = table
    }

    /// What a FROM clause has instead of the table: the rows under some keys, hidden or not.
    ///
    /// - Parameter keys: an array in SQL.
    func rows(under keys: String) -> String {
        rows(with: table.keyColumn, in: keys)
    }

    /// The rows with some values in a column, hidden or not.
    func rows(with column: String, in values: String) -> String {
        "sync.stored_rows(NULL::\(table.name.quotedName), \(literal(column)), \(values))"
    }

    /// A further item of a select list: stops the statement if policies have to decide and do not
    /// apply to its role. Switching them off waits for the statement's lock.
    var check: String {
        guard table.policies.isWanted else { return "" }
        return """
            , CASE WHEN NOT row_security_active(\(literal(table.name.quotedName))) THEN
                    sync.refuse_row('\(RowRefusal.policiesOffState.rawValue)',
                    format('the policies of %s do not apply to %s', \(literal("\(table.name)")),
                        current_user), '', '') END
            """
    }
}

extension Parts {
    /// Inserts rows. A key that is taken stops the statement; where a trigger leaves the row out
    /// instead, the key stays its owner's.
    var insertChecked: String {
        guard ownership != nil else {
            return "WITH written AS (\(insert))\nSELECT $3\(check) WHERE \(isOwned)"
        }
        let new = "WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = \(keyValue))"
        return """
            WITH stored AS MATERIALIZED (
                SELECT t.\(key) AS key FROM \(allStored) AS t
            ), written AS (\(insert))\(noteOwner(of: "\(keyValue) AS \(key) FROM \(source) \(new)"))
            SELECT $3\(check) WHERE \(isOwned)
            """
    }

    /// The rows under the keys of the source, whatever policies hide.
    private var allStored: String {
        policies?.rows(under: "ARRAY(SELECT \(keyValue) FROM \(source))") ?? target
    }

    /// Updates the user's rows and inserts those that are not there. A row that is there and not
    /// reached, for it is hidden or another's, is missing in the count.
    var updateOrInsertChecked: String {
        let isInTheWay = isKeyOfOwner ? " WHERE true\(own)" : ""
        return """
            WITH stored AS MATERIALIZED (
                SELECT t.\(key) AS key FROM \(allStored) AS t\(isInTheWay)
            ), missing AS MATERIALIZED (
                SELECT \(keyValue) AS key FROM \(source)
                WHERE NOT EXISTS (SELECT FROM stored s WHERE s.key = \(keyValue))
            ), updated AS (\(updateRows)), inserted AS (
                \(insert) WHERE EXISTS (SELECT FROM missing m WHERE m.key = \(keyValue))
            )\(noteOwner(of: "m.key AS \(key) FROM missing m"))
            SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM missing)
                + (\(countOfUnchanged)), $3)\(check)
            WHERE \(isOwned) AND set_config('\(MaterializeStatement.insertedSetting)',
                (SELECT count(*) FROM missing)::text, true) IS NOT NULL
            """
    }

    var check: String { policies?.check ?? "" }

    /// Two users may have the same key.
    private var isKeyOfOwner: Bool { owner.map(conflictColumns.contains) ?? false }

    /// Records whose the keys are that are inserted.
    ///
    /// - Parameter keys: what a SELECT has after that word, with the key under the column's name.
    private func noteOwner(of keys: String) -> String {
        guard let ownership else { return "" }
        return """
            , owned AS (
                INSERT INTO sync.key_owner (table_id, key, scope_id)
                SELECT \(ownership.table), \(ownership.key), $2 FROM (SELECT \(keys)) AS t
                ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
            )
            """
    }
}
