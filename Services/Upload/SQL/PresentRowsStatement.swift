import Model
import Postgres
import Sidecar

/// Stops the transaction if rows that were just inserted are not in their table, where the
/// statement that inserts them may not ask what it has written (`HidingPolicies`).
///
/// Rows that a trigger has deleted since are no trouble: the log has the delete, after the changes
/// of the upload.
enum PresentRowsStatement {
    /// Begins as the names of the statements do that write rows: what it meets, their rows cause.
    private static let namePrefix = "\(MaterializeStatement.namePrefix)_present"

    /// `$1` the keys, `$2` the owner, `$3` how many they are, `$4` the scope. Nil for a table whose
    /// statements count for themselves.
    static func make(_ table: UploadTable) -> Statement? {
        let parts = Parts(table.registered, wireNames: table.wireNames, ColumnSet())
        guard let policies = parts.policies else { return nil }
        let registered = table.registered
        let sql = """
            WITH stored AS MATERIALIZED (
                SELECT t.\(parts.key) AS key FROM \(policies.rows(under: "$1")) AS t
                WHERE true\(parts.own)
            )
            SELECT sync.expect_rows((
                SELECT count(*) FROM unnest($1) AS t(\(parts.key))
                LEFT JOIN stored s ON s.key = t.\(parts.key)
                WHERE s.key IS NOT NULL OR EXISTS (
                    SELECT FROM sync.row_state r
                    WHERE r.scope_id = $4 AND r.table_id = \(registered.id)
                        AND r.key = \(registered.storedKey(of: "t")) AND r.deleted
                        AND r.seq > current_setting('oversync.last_seq')::int8)), $3)
            WHERE \(parts.isOwned)
            """
        return Statement(
            name: MaterializeStatement.name(of: sql, table, prefix: namePrefix), sql: sql,
            parameters: [
                registered.keyKind.arrayType,
                registered.ownerColumn == nil ? .int8 : .text, .int8, .int8,
            ])
    }

    static func bindings(
        _ keys: ArrayBinding, _ count: Int, _ scope: NamedScope, of table: RegisteredTable
    ) -> Bindings {
        var bindings = Bindings()
        bindings.bind(keys)
        MaterializeStatement.bind(owner: scope, of: table, to: &bindings)
        bindings.bind(Int64(count))
        bindings.bind(scope.id)
        return bindings
    }
}
