import Model
import Postgres

/// Columns that stayed on the server and shall no longer: `oversync migrate` sends the rows that
/// have values in them, as it does with columns that ALTER TABLE has added (``AlteredRows``).
///
/// Before it does, writes are captured with these columns, or a row that is written meanwhile would
/// go to devices without:
///
/// ```
/// migrate     shows the columns       sends the rows               the function for all columns
/// plain SQL                                      writes a new row
/// ```
///
/// The capture function for the time in between leaves out what still stays on the server. It was
/// made for the columns that its predecessor was made for: so it finds that there are others, and
/// names them in each statement, and a run that is interrupted knows what is left to send.
enum ShownColumns {
    /// All tables at once, or none.
    ///
    /// - Throws: `TableInUse` for a table that others keep locked; `PostgresError`.
    static func apply(
        _ registrations: [TableRegistration], in run: MigrationRun, lockTimeout: Duration
    ) async throws {
        let tables = try await Catalog.readTables(on: run.connection).compactMap { table in
            registrations.first { $0.name == table.name && $0.mode == .table }.flatMap {
                shown(by: $0, of: table).map { (table, shown: $0) }
            }
        }
        guard !tables.isEmpty else { return }
        try await run.transaction {
            try await run.set("SET LOCAL lock_timeout = \(lockTimeout.wholeMilliseconds)")
            for (table, shown) in tables { try await show(shown, of: table, in: run) }
        }
    }

    /// Nil for none.
    private static func shown(
        by registration: TableRegistration, of table: RegisteredTable
    ) -> Set<String>? {
        let shown = table.withheld.except.subtracting(registration.withheld.except)
        return table.isRemoved || shown.isEmpty ? nil : shown
    }

    private static func show(
        _ names: Set<String>, of table: RegisteredTable, in run: MigrationRun
    ) async throws {
        let withheld = WithheldColumns(
            except: table.withheld.except.subtracting(names), readOnly: table.withheld.readOnly)
        let altered = try await run.connection.run(SidecarStatements.ReadAlteredColumns())
            .all().filter { $0.table == table.id }.map(\.column)
        let columns = table.columns.filter { !altered.contains($0.name) }
        if let function = CaptureFunction(table.with(columns, withheld)) {
            try await CaptureInstallation.replace(function, in: run)
        }
        try await run.execute(
            BoundStatement(
                SidecarStatements.showColumns,
                [
                    .text(table.name.schema), .text(table.name.table),
                    .texts(withheld.storedExcept),
                ]),
            for: "Columns of \(table.name) that no longer stay on the server: "
                + names.sorted().joined(separator: ", "))
    }
}

extension RegisteredTable {
    /// The table as a capture function takes it.
    fileprivate func with(_ columns: [Column], _ withheld: WithheldColumns) -> RegisteredTable {
        RegisteredTable(
            id: id, name: name, keyKind: keyKind, keyColumn: keyColumn, mode: mode,
            ownerColumn: ownerColumn, columns: columns, foreignKeys: foreignKeys,
            columnNeeds: columnNeeds, keySequence: keySequence,
            keyIndexColumns: keyIndexColumns,
            hasRowTriggers: hasRowTriggers, reach: reach, isRemoved: isRemoved, access: access,
            withheld: withheld, policies: policies)
    }
}
