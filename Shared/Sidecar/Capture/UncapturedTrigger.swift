import Model

/// The triggers that record that a captured table is written to without capture. PostgreSQL runs
/// them in sessions with `session_replication_role = replica` and in replications alone, where it
/// runs no capture trigger. See `Docs/decisions/0005-capture.md`.
struct UncapturedTrigger {
    /// SQL of what goes before and after the table's name.
    private let event: String
    private let scope: String
    let name: String
    /// PostgreSQL copies it to each partition.
    let isOfRow: Bool

    private static let prefix = "oversync_uncaptured"
    private static let function = "sync.record_uncaptured"

    /// It runs once for each statement of a session, before it writes.
    private static let statement = UncapturedTrigger(
        event: "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", scope: "STATEMENT", name: prefix,
        isOfRow: false)
    /// For writers that run no statement triggers: they write row by row.
    private static let row = UncapturedTrigger(
        event: "AFTER INSERT OR UPDATE OR DELETE", scope: "ROW", name: "\(prefix)_row",
        isOfRow: true)

    static let all = [statement, row]

    /// - Parameters:
    ///   - id: the registered table's number.
    ///   - isPart: the table is a part of the registered one.
    func create(on table: TableName, of id: TableID, isPart: Bool) -> String {
        let name = isPart ? "\(name)_\(id)" : name
        let arguments = isPart ? "'\(id)', 'part'" : "'\(id)'"
        // Evaluated for each row, until the table is recorded in this transaction.
        let when =
            isOfRow
            ? """

                WHEN (strpos(coalesce(current_setting('oversync.uncaptured', true), ''),
                    ' \(id) ') = 0)
            """ : ""
        // A partition has no trigger of the statement by this name.
        let only = isOfRow ? "" : "ONLY "
        return """
            CREATE OR REPLACE TRIGGER \(name) \(event) ON \(table.quotedName)
                FOR EACH \(scope)\(when) EXECUTE FUNCTION \(Self.function)(\(arguments));
            ALTER TABLE \(only)\(table.quotedName) ENABLE REPLICA TRIGGER \(name);
            """
    }

    static func remove(from table: TableName) -> String {
        all.map { "DROP TRIGGER IF EXISTS \($0.name) ON \(table.quotedName);\n" }.joined()
    }

    /// SQL of the number of these triggers that a relation has, by what they are set to.
    ///
    /// - Parameters:
    ///   - isOn: those that run where no capture trigger does; otherwise all others, which
    ///     `ALTER TABLE … DISABLE TRIGGER ALL` leaves, and `ENABLE TRIGGER ALL` after it.
    ///   - arguments: 1 for those of a registered table, 2 for those of its part.
    static func count(of relation: String, isOn: Bool, arguments: Int) -> String {
        """
        (SELECT count(*) FROM pg_trigger t
        WHERE t.tgrelid = \(relation) AND t.tgname ^@ '\(prefix)' AND t.tgparentid = 0
            AND t.tgfoid = to_regproc('\(function)')::oid AND t.tgnargs = \(arguments)
            AND t.tgenabled \(isOn ? "" : "NOT ")IN ('R', 'A'))
        """
    }
}
