import Model
import Postgres

/// A registered table as far as its fitness depends on it.
struct TableShape {
    let name: TableName
    /// Nil if the table says no single one.
    let keyColumn: String?
    let ownerColumn: String?
}

/// Something about a table that keeps its rows, or some of them, from being synced.
///
/// `oversync migrate` refuses a table for most of them, with all flaws of all tables at once. A
/// table that gets one later degrades the services: it is named in `/ready` and in the log, and the
/// other tables go on.
package struct TableFlaw: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case view, materializedView = "materialized_view", foreignTable = "foreign_table"
        case temporary, unlogged
        case reservedSchema = "reserved_schema"
        case partition, inheriting, inherited
        case rule
        case generatedKey = "generated_key", generatedOwner = "generated_owner"
        case nullableKey = "nullable_key"
        case nondeterministicKey = "nondeterministic_key"
        case nondeterministicOwner = "nondeterministic_owner"
        case nondeterministicIndex = "nondeterministic_index"
        case paddedKey = "padded_key", paddedReference = "padded_reference"
        case invalidIndex = "invalid_index", deferrableIndex = "deferrable_index"
        case partialIndex = "partial_index", expressionIndex = "expression_index"
        case widerIndex = "wider_index", noKeyIndex = "no_key_index"
        case captureOff = "capture_off", partNotCaptured = "part_not_captured"
        case captureReset = "capture_reset", uncapturedWrites = "uncaptured_writes"
        case columnsChanged = "columns_changed"
        case subscribed, rowSecurity = "row_security"
        case policiesOff = "policies_off", rowsHidden = "rows_hidden"
    }

    package let table: TableName
    package let kind: Kind
    /// The column, index, rule, role or other table that it is about.
    package let object: String?
    /// Which column the key is, and which the owner.
    private let key: String?
    private let owner: String?

    init(_ kind: Kind, of table: TableShape, _ object: String?) {
        self.table = table.name
        self.kind = kind
        self.object = object
        key = table.keyColumn
        owner = table.ownerColumn
    }

    /// The relation is of a kind that has no rows of its own to sync: nothing else needs to be said
    /// of it.
    var isNoTable: Bool {
        [.view, .materializedView, .foreignTable, .temporary, .reservedSchema].contains(kind)
    }

    /// A table with it syncs, if not wholly: `oversync migrate` says so and goes on.
    var isRemark: Bool {
        [
            .inherited, .paddedReference, .captureOff, .partNotCaptured, .captureReset,
            .uncapturedWrites,
            .columnsChanged, .subscribed, .rowSecurity, .policiesOff, .rowsHidden,
        ].contains(kind)
    }

    /// It may do no harm, as where all values have their full length: `oversync migrate` alone says
    /// so.
    var isAdvice: Bool { kind == .paddedReference }

    /// What is wrong and what to do, in one line that begins with the table's name.
    package var description: String {
        let alter = "ALTER TABLE \(table.quotedName)"
        let name = object.map(quoted) ?? ""
        return switch kind {
        case .view: "\(table) is a view: register the table that it reads"
        case .materializedView:
            "\(table) is a materialized view: register the tables that it reads"
        case .foreignTable:
            "\(table) is a foreign table, whose rows change elsewhere: "
                + "register it in its own database"
        case .temporary: "\(table) is a temporary table: only one session sees its rows"
        case .unlogged:
            "\(table) is unlogged: after a crash PostgreSQL empties it, and devices keep its rows: "
                + "run \(alter) SET LOGGED"
        case .reservedSchema:
            "\(table) belongs to Oversync or PostgreSQL: register tables of your own"
        case .partition:
            "\(table) is a partition: register \(object ?? ""), the table that it is part of"
        case .inheriting:
            "\(table) inherits from \(object ?? ""): register that one, or run \(alter) NO INHERIT"
        case .inherited:
            "\(table) has tables that inherit from it: its key is not unique across them: "
                + "use partitions instead"
        case .rule:
            "\(table) has the rewrite rule \(name), and uploads cannot write to a table with "
                + "rules, also disabled ones: run DROP RULE \(name) ON \(table.quotedName); "
                + "a trigger can do the same"
        case .paddedReference:
            "\(table).\(name) is char(n) and refers to a column that is not: devices compare byte "
                + "by byte, so that a reference with blanks at its end finds no row there: "
                + "run \(alter) ALTER COLUMN \(name) TYPE text"
        case .captureOff, .partNotCaptured, .captureReset, .uncapturedWrites, .columnsChanged,
            .subscribed, .rowSecurity, .policiesOff, .rowsHidden:
            stateDescription(name)
        default: keyDescription(alter, name)
        }
    }

    private func keyDescription(_ alter: String, _ name: String) -> String {
        let place = "\(table).key:"
        let column = quoted(key ?? "")
        let together = owner.map { ", alone or with \($0)" } ?? ""
        let needed = "\(column) needs a primary key or unique index\(together)"
        return switch kind {
        case .generatedKey:
            "\(place) \(name) is generated by PostgreSQL, and devices choose keys: use a DEFAULT"
        case .generatedOwner:
            "\(table).owner: \(name) is generated by PostgreSQL, and uploads write the owner: "
                + "use an ordinary column"
        case .nullableKey:
            "\(place) \(name) may be NULL, and a row without a key cannot be synced: "
                + "run \(alter) ALTER COLUMN \(name) SET NOT NULL"
        case .nondeterministicKey:
            "\(place) \(name) takes different spellings for the same key (a nondeterministic "
                + "collation, or citext), so that one row would overwrite another: "
                + "run \(alter) ALTER COLUMN \(name) TYPE text COLLATE \"C\""
        case .nondeterministicOwner:
            "\(table).owner: \(name) takes different spellings for the same user (a "
                + "nondeterministic collation, or citext), so that users would share rows: "
                + "run \(alter) ALTER COLUMN \(name) TYPE text COLLATE \"C\""
        case .nondeterministicIndex:
            "\(place) the unique index \(name) takes different spellings for the same key, so that "
                + "one row would overwrite another: drop it, or build it with the collation of "
                + "the column"
        case .paddedKey:
            "\(place) \(name) is char(n), which ignores blanks at the end, so that two keys of "
                + "devices would be one row: run \(alter) ALTER COLUMN \(name) TYPE text"
        case .invalidIndex:
            "\(place) the unique index \(name) is invalid (CREATE INDEX CONCURRENTLY failed): "
                + "drop it and create it again"
        case .deferrableIndex:
            "\(place) the constraint \(name) is deferrable, which ON CONFLICT cannot use: "
                + "drop it and add it without DEFERRABLE"
        case .partialIndex:
            "\(place) the unique index \(name) covers only some rows (WHERE): \(needed) of all rows"
        case .expressionIndex:
            "\(place) the unique index \(name) is on an expression: \(needed) on the column itself"
        case .widerIndex:
            "\(place) the unique index \(name) has further columns: \(needed)"
        default: "\(place) \(needed)"
        }
    }

    private func stateDescription(_ name: String) -> String {
        switch kind {
        case .captureOff:
            "plain SQL on \(table) reaches devices in part or not at all: \(object ?? "0") of "
                + "\(CaptureTrigger.all.count) capture triggers are on: run oversync migrate, then "
                + "oversync verify --repair"
        case .partNotCaptured:
            "what is written to \(object ?? ""), a part of \(table), by its own name does not "
                + "reach devices: run oversync migrate, then oversync verify --repair"
        case .captureReset:
            "triggers on \(table) were off for a while (ALTER TABLE … ENABLE TRIGGER leaves "
                + "traces), and what was written meanwhile may have reached no device: run "
                + "oversync migrate"
        case .uncapturedWrites:
            "rows of \(table) were written without capture since \(object ?? "some time") (by a "
                + "session with session_replication_role = replica, or by a replication): run "
                + "oversync migrate, or oversync verify --repair"
        case .columnsChanged:
            "the columns of \(table) have changed since oversync migrate, and values that only a "
                + "DEFAULT filled in have reached no device: run oversync migrate"
        case .subscribed:
            "\(table) is the target of a logical replication, whose writes no trigger captures: "
                + "replicate into another table, or run oversync verify --repair after it"
        case .policiesOff:
            "uploads to \(table) are refused: it has row_security: true, and its policies do not "
                + "apply to \(object ?? ""): enable row-level security, or run Upload as a role "
                + "that is neither its owner nor has BYPASSRLS"
        case .rowsHidden:
            "row-level security hides rows of \(table) from \(object ?? ""), by whom Upload looks "
                + "for them: run ALTER TABLE \(table.quotedName) NO FORCE ROW LEVEL SECURITY, "
                + "or ALTER ROLE \(name) BYPASSRLS"
        default:
            "\(table) has row-level security, which \(object ?? "") is subject to: say "
                + "row_security: true in oversync.yaml, so that its policies know the user, or run "
                + "ALTER ROLE \(name) BYPASSRLS"
        }
    }
}

extension TableFlaw {
    /// The flaws in the shape of tables, in their order. Tables that are not there have none.
    static func read(
        _ tables: [TableShape], on connection: PostgresConnection
    ) async throws(PostgresError) -> [TableFlaw] {
        guard !tables.isEmpty else { return [] }
        return try flaws(
            tables, try await connection.run(FlawStatements.ReadShapes(tables: tables)))
    }

    /// Everything that is wrong with the registered tables at the moment, as the connection's role
    /// sees it. Nothing to a role that may not write to the log.
    package static func read(
        _ tables: [RegisteredTable], on connection: PostgresConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> [TableFlaw] {
        let shapes = tables.filter(\.isWritten).map(\.shape)
        let mayWrite = try await connection.rows(
            FlawStatements.mayWrite, of: Bool.self, deadline: deadline
        ).one()
        guard mayWrite, !shapes.isEmpty else { return [] }
        var pipeline = Pipeline()
        let readShapes = pipeline.add(FlawStatements.ReadShapes(tables: shapes))
        let readStates = pipeline.add(FlawStatements.ReadStates())
        let results = try await connection.run(pipeline, deadline: deadline)
        var found = try flaws(shapes, results[readShapes]).filter { !$0.isAdvice }
        var states = try results[readStates]
        while let row = try states.next() {
            guard let table = shapes.first(where: { $0.name == row.table }) else { continue }
            if let kind = Kind(rawValue: row.kind) {
                found.append(TableFlaw(kind, of: table, row.object))
            }
        }
        return found
    }

    private static func flaws(
        _ tables: [TableShape], _ rows: Rows<FlawStatements.ReadShapes.Row>
    ) throws(PostgresError) -> [TableFlaw] {
        var rows = rows
        var flaws: [TableFlaw] = []
        while let row = try rows.next() {
            guard let kind = Kind(rawValue: row.kind) else { continue }
            flaws.append(TableFlaw(kind, of: tables[Int(row.place) - 1], row.object))
        }
        return flaws
    }
}

extension RegisteredTable {
    var shape: TableShape {
        TableShape(name: name, keyColumn: keyColumn, ownerColumn: ownerColumn)
    }
}
