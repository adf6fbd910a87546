import Model
import Postgres

/// The values in the change log of columns that stay on the server from now on.
///
/// They were served until now: devices that have them keep them, and no other device gets them.
enum ServedValues {
    /// Takes them out of the log, in the caller's transaction. The rest of each payload stays.
    ///
    /// - Parameter former: the registered tables as they were before.
    static func remove(
        from tables: [RegisteredTable], formerly former: [RegisteredTable], in run: MigrationRun
    ) async throws {
        for table in tables where !table.isRemoved && table.mode == .table {
            let before = former.first { $0.id == table.id }?.withheld.except ?? []
            let names = table.withheld.except.subtracting(before).sorted()
            guard !names.isEmpty else { continue }
            let purpose =
                "Takes values of \(table.name) out of the change log that stay on the server from "
                + "now on: \(names.joined(separator: ", "))"
            try await run.execute(sql(names, of: table), for: purpose, isRehearsed: false)
        }
    }

    /// JSON that no function of PostgreSQL reads goes as a whole: `verify` then finds its row, and
    /// `--repair` sends it.
    private static func sql(_ names: [String], of table: RegisteredTable) -> String {
        let list = names.map { literal($0.lowercased()) }.joined(separator: ", ")
        let unreadable = BusinessComparison.isUnreadable("l.payload")
        return """
            UPDATE sync.change_log l SET payload = CASE WHEN \(unreadable) THEN '{}' ELSE (
                    SELECT coalesce(json_object_agg(e.key, e.value), '{}')
                    FROM json_each(l.payload) AS e
                    WHERE e.key <> ALL (ARRAY[\(list)])) END
            WHERE l.table_id = \(table.id) AND l.payload IS NOT NULL AND CASE
                WHEN \(unreadable) THEN true ELSE EXISTS (
                    SELECT FROM json_object_keys(l.payload) AS k
                    WHERE k = ANY (ARRAY[\(list)])) END;
            """
    }
}
