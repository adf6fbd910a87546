import Model
import Postgres

/// Puts capture triggers on registered tables, and takes them off others.
///
/// Nothing is touched that is as it should be: making a trigger waits for every writer of its table.
enum CaptureInstallation {
    /// Brings the database to what `tables` ask for, inside the caller's transaction.
    ///
    /// - Throws: `TableInUse` for a table that others keep locked; `PostgresError`.
    static func apply(
        _ tables: [RegisteredTable], in run: MigrationRun, lockTimeout: Duration
    ) async throws {
        let connection = run.connection
        try await run.set("SET LOCAL lock_timeout = \(lockTimeout.wholeMilliseconds)")
        let strays = try await connection.run(SidecarStatements.ReadStrayTriggers()).all()
        for stray in strays {
            try await execute(
                stray.removal, on: stray.table,
                for: "Capture trigger left on \(stray.table), which was renamed", in: run)
        }
        let installed = try await read(on: connection)
        for table in tables {
            let purpose =
                CaptureFunction(table) == nil
                ? "Ends the capture of plain SQL writes to \(table.name)"
                : "Captures plain SQL writes to \(table.name) into the change log"
            guard let script = script(for: table, installed[table.id]) else { continue }
            try await execute(script, on: table.name, for: purpose, in: run)
        }
        try await applyToParts(of: tables, in: run)
    }

    /// Puts another function in the place of a table's, whose triggers stay. Transactions that
    /// write to the table have ended before, so the former function captures nothing afterwards.
    static func replace(_ function: CaptureFunction, in run: MigrationRun) async throws {
        let table = function.table.name
        let lock = "LOCK TABLE \(table.quotedName) IN SHARE ROW EXCLUSIVE MODE;"
        try await execute(
            "\(lock)\n\(install(function, hasTriggers: true))", on: table,
            for: "Captures plain SQL writes to \(table) with the columns that devices see from now "
                + "on", in: run)
    }

    /// Partitions and tables that inherit, also those that were made since.
    private static func applyToParts(
        of tables: [RegisteredTable], in run: MigrationRun
    ) async throws {
        let functions = Dictionary(
            tables.compactMap { CaptureFunction($0) }.map { ($0.table.id, $0) },
            uniquingKeysWith: { first, _ in first })
        let parts = try await run.connection.run(SidecarStatements.ReadCapturedParts()).all()
        for part in parts where !part.isInstalled {
            guard let function = functions[part.of] else { continue }
            let doubt = part.wasSwitchedOff ? "\n" + UncapturedWrites.record(part.of) : ""
            try await execute(
                part.install(function) + doubt, on: part.name,
                for: "Captures what is written to \(part.name), a part of "
                    + "\(function.table.name), by its own name", in: run)
        }
    }

    /// Not in a rehearsal: making a trigger, or dropping one, would hold up the table's writers.
    private static func execute(
        _ script: String, on table: TableName, for purpose: String, in run: MigrationRun
    ) async throws {
        do throws(PostgresError) {
            try await run.execute(script, for: purpose, isRehearsed: false)
        } catch {
            if let inUse = TableInUse(error, of: table) { throw inUse }
            throw error
        }
    }

    /// Nil where all is as it should be.
    private static func script(for table: RegisteredTable, _ present: Installed?) -> String? {
        if let function = CaptureFunction(table) {
            if let present, present.fits(function), present.isInstalled { return nil }
            var parts = [install(function, hasTriggers: present?.isComplete == true)]
            parts += UncapturedTrigger.all.map {
                $0.create(on: table.name, of: table.id, isPart: false)
            }
            if present?.wasSwitchedOff == true { parts.append(UncapturedWrites.record(table.id)) }
            return parts.joined(separator: "\n")
        }
        guard let present, present.triggers > 0 else { return nil }
        return remove(table.id, from: present.table)
    }

    /// The tables whose plain SQL is not, or not wholly, captured.
    ///
    /// - Parameter past: also those whose triggers are on again, and were off for a while.
    static func flaws(
        _ tables: [RegisteredTable], includingPast past: Bool = false,
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [Difference] {
        let installed = try await read(on: connection)
        let parts = try await connection.run(SidecarStatements.ReadCapturedParts()).all()
        return tables.flatMap { table -> [Difference] in
            guard let function = CaptureFunction(table), let present = installed[table.id] else {
                return []
            }
            var details: [String] = []
            if !present.isComplete {
                details.append("\(present.triggers) of \(CaptureTrigger.all.count) triggers are on")
            } else if !present.fits(function) {
                details.append("the table has changed since oversync migrate")
            } else if past, !present.isInstalled {
                details.append(
                    "triggers were off for a while: rows that were written meanwhile may have "
                        + "reached no device; oversync migrate repairs that")
            }
            details += parts.filter { $0.of == table.id && !$0.isComplete }.map {
                "\($0.triggers) of \(CaptureTrigger.all.count) triggers are on for its part "
                    + "\($0.name)"
            }
            return details.map {
                Difference(
                    kind: .captureOff, user: "", table: table.name, key: nil, detail: $0,
                    sequence: 0)
            }
        }
    }

    private struct Installed {
        let table: TableName
        let fingerprint: String?
        let triggers: Int64
        let recording: CapturedPart.Recording

        var isComplete: Bool { triggers == Int64(CaptureTrigger.all.count) }
        var isInstalled: Bool {
            isComplete && recording.on == Int64(UncapturedTrigger.all.count)
        }
        /// It was captured before, and something switched triggers off: rows that were written
        /// meanwhile have reached no device.
        var wasSwitchedOff: Bool { fingerprint != nil && (!isComplete || recording.reset > 0) }

        func fits(_ function: CaptureFunction) -> Bool {
            isComplete && fingerprint == function.fingerprint
        }
    }

    private static func read(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [TableID: Installed] {
        var rows = try await connection.run(SidecarStatements.ReadCaptureTriggers())
        var installed: [TableID: Installed] = [:]
        while let row = try rows.next() {
            installed[row.id] = Installed(
                table: row.table, fingerprint: row.fingerprint, triggers: row.triggers,
                recording: row.recording)
        }
        return installed
    }

    /// The function of a table and, unless it has them, the triggers that call it.
    static func install(_ function: CaptureFunction, hasTriggers: Bool) -> String {
        let table = function.table
        let triggers = CaptureTrigger.all.map {
            $0.create(on: table.name, of: function, isPart: false)
        }
        let access = "REVOKE ALL ON FUNCTION \(function.name)() FROM PUBLIC;"
        let record = """
            UPDATE sync.catalog SET capture_fingerprint = \(literal(function.fingerprint))
                WHERE table_id = \(table.id);
            """
        let statements = ["\(function.create);", access] + (hasTriggers ? [] : triggers) + [record]
        return statements.joined(separator: "\n")
    }

    private static func remove(_ id: TableID, from table: TableName) -> String {
        CaptureTrigger.all.map { "DROP TRIGGER IF EXISTS \($0.name) ON \(table.quotedName);\n" }
            .joined() + UncapturedTrigger.remove(from: table)
                + """
                DROP FUNCTION IF EXISTS sync.capture_\(id)();
                DELETE FROM sync.uncaptured_write WHERE table_id = \(id);
                UPDATE sync.catalog SET capture_fingerprint = NULL WHERE table_id = \(id);

                """
    }
}

/// One of the triggers of a captured table. They are statement triggers, those of rows with
/// transition tables: one call for a statement, however many rows it touches.
struct CaptureTrigger {
    let event: String
    /// Nil for TRUNCATE, which tells no rows: its trigger runs before it.
    let transitions: String?
    var name: String { "oversync_capture_\(event.lowercased())" }

    static let all = [
        CaptureTrigger(event: "INSERT", transitions: "NEW TABLE AS new_rows"),
        CaptureTrigger(
            event: "UPDATE", transitions: "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        CaptureTrigger(event: "DELETE", transitions: "OLD TABLE AS old_rows"),
        CaptureTrigger(event: "TRUNCATE", transitions: nil),
    ]

    /// - Parameter isPart: the table is a part of the function's: it may be one of several, and its
    ///   triggers say with an argument what they are on.
    func create(on table: TableName, of function: CaptureFunction, isPart: Bool) -> String {
        let name = isPart ? "\(name)_\(function.table.id)" : name
        let argument = isPart ? "'part'" : ""
        let when = transitions.map { ("AFTER", "REFERENCING \($0) ") } ?? ("BEFORE", "")
        return """
            CREATE OR REPLACE TRIGGER \(name) \(when.0) \(event) ON \(table.quotedName)
                \(when.1)FOR EACH STATEMENT EXECUTE FUNCTION \(function.name)(\(argument));
            """
    }
}
