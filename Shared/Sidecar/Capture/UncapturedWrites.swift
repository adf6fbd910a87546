import Model
import Postgres

/// The records of tables that were written to without capture, while a comparison of their rows
/// is under way.
///
/// A record goes if the comparison finds that devices have all that the table has. One that is
/// made meanwhile stays: the comparison may not have seen its writer's rows.
///
/// ```
/// writer       writes, shares record 1, commits       writes, makes record 2
/// comparison                          sees record 1   compares                removes record 1
/// ```
package struct UncapturedWrites {
    /// The records that the comparison is about.
    private let seen: [Record]

    fileprivate struct Record {
        let id: String
        let table: TableID
    }

    package var isEmpty: Bool { seen.isEmpty }
    var tables: Set<TableID> { Set(seen.map(\.table)) }

    /// Begins a comparison, before its first row is read. A record stays out of it whose writer has
    /// not committed.
    ///
    /// - Parameter table: only this one's records; nil: all.
    /// - Returns: none on a standby, and to a role that may not write them.
    package static func see(
        of table: TableName? = nil, on connection: PostgresConnection
    ) async throws(PostgresError) -> UncapturedWrites {
        let mayWrite = try await connection.rows(Self.mayWrite, of: Bool.self).one()
        guard mayWrite else { return UncapturedWrites(seen: []) }
        let rows = try await connection.run(SeeRecords(table: table))
        return UncapturedWrites(seen: try rows.all())
    }

    /// Ends a comparison.
    ///
    /// - Parameter open: the tables with differences that are left.
    package func remove(
        exceptOf open: Set<TableName>, on connection: PostgresConnection
    ) async throws(PostgresError) {
        guard !seen.isEmpty else { return }
        let catalog = try await Catalog.readTables(on: connection)
        let left = Set(catalog.filter { open.contains($0.name) }.map(\.id))
        var ids = ArrayBinding(of: .text)
        for record in seen where !left.contains(record.table) { ids.append(record.id) }
        var bindings = Bindings()
        bindings.bind(ids)
        try await connection.run(Command(Self.removeRecords, bindings))
    }

    /// SQL that records a table.
    static func record(_ table: TableID) -> String {
        "INSERT INTO sync.uncaptured_write (table_id) VALUES (\(table));"
    }

    private static let mayWrite = Statement(
        name: "uncaptured_may_write",
        sql: """
            SELECT NOT pg_is_in_recovery() AND coalesce(
                has_table_privilege(r.oid, 'UPDATE') AND has_table_privilege(r.oid, 'DELETE'),
                false)
            FROM (SELECT to_regclass('sync.uncaptured_write')::oid) AS r(oid)
            """)

    private static let removeRecords = Statement(
        name: "uncaptured_remove",
        sql: "DELETE FROM sync.uncaptured_write WHERE id::text = ANY ($1)",
        parameters: [.textArray])

    private struct SeeRecords: TypedStatement {
        static let statement = Statement(
            name: "uncaptured_see",
            sql: """
                WITH wanted AS (
                    SELECT w.id FROM sync.uncaptured_write w
                    JOIN sync.catalog c USING (table_id)
                    WHERE $1 IS NULL OR c.schema_name || '.' || c.table_name = $1
                    FOR UPDATE OF w SKIP LOCKED
                )
                UPDATE sync.uncaptured_write w SET is_seen = true
                FROM wanted WHERE w.id = wanted.id
                RETURNING w.id::text, w.table_id
                """,
            parameters: [.text])

        let table: TableName?

        func bind(to bindings: inout Bindings) {
            bindings.bind(table?.description)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Record {
            Record(id: try columns.next(String.self), table: try columns.next(Int16.self))
        }
    }
}

/// Sends what tables got without capture, as a part of `oversync migrate`.
struct UncapturedRows {
    /// The most differences to keep in memory. When they are repaired, the table is compared again.
    private static let rowsAtOnce = 50_000

    private let table: RegisteredTable
    private let run: MigrationRun
    private var sent: Int64 = 0
    private var left = 0

    /// Online, in small transactions, after the triggers are on again; a rehearsal only mentions
    /// it. Deletes are left to the operator: a table may be empty by mistake.
    ///
    /// - Returns: what the operator should know, a line each.
    static func send(in run: MigrationRun) async throws -> [String] {
        let connection = run.connection
        let catalog = Catalog(tables: try await Catalog.readTables(on: connection))
        if run.isRehearsal {
            let recorded = try await connection.rows(Self.recordedTables, of: Int16.self).all()
            for table in catalog.tables where recorded.contains(table.id) {
                try await run.transaction { mention(table, in: run) }
            }
            return []
        }
        let writes = try await UncapturedWrites.see(on: connection)
        var open: Set<TableName> = []
        var remarks: [String] = []
        for table in catalog.tables where writes.tables.contains(table.id) {
            var rows = UncapturedRows(table: table, run: run)
            try await run.transaction { mention(table, in: run) }
            try await rows.send()
            if rows.left > 0 { open.insert(table.name) }
            remarks += rows.remarks
        }
        try await writes.remove(exceptOf: open, on: connection)
        return remarks
    }

    private init(table: RegisteredTable, run: MigrationRun) {
        self.table = table
        self.run = run
    }

    private static func mention(_ table: RegisteredTable, in run: MigrationRun) {
        run.mention(
            "-- in small transactions, as changes of the server",
            for: "Sends the rows of \(table.name) that were written without capture")
    }

    private struct HasEnough: Error {}

    private mutating func send() async throws {
        let repair = Repair(connection: run.connection, acceptsDeletes: false)
        while true {
            var found: [Difference] = []
            do {
                _ = try await Verifier(connection: run.connection, table: table.name).run {
                    found += $0
                    if found.count >= Self.rowsAtOnce { throw HasEnough() }
                }
            } catch is HasEnough {}
            let mended = try await repair.mend(found)
            sent += mended
            left = found.count - Int(mended)
            // Enough of them that cannot be repaired would be found again and again.
            guard found.count >= Self.rowsAtOnce, mended > 0 else { return }
        }
    }

    private var remarks: [String] {
        var lines: [String] = []
        if sent > 0 {
            lines.append("\(table.name): sent \(sent) rows that were written without capture")
        }
        if left > 0 {
            lines.append(
                "\(table.name): \(left) differences are left: run oversync verify --table "
                    + "\(table.name); rows that are gone from it go from devices with --repair "
                    + "--accept-deletes")
        }
        return lines
    }

    private static let recordedTables = Statement(
        name: "uncaptured_tables",
        sql: "SELECT DISTINCT table_id FROM sync.uncaptured_write")
}
