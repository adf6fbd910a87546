import Postgres
import Sidecar
import Synchronization

/// The statements on the team's tables that an upload needs, each built once for a schema.
///
/// Their SQL depends on the registered tables, and on the columns that payloads name, so it is put
/// together at run time.
final class BusinessStatements: Sendable {
    /// The most statements that are kept: clients choose the sets of columns that payloads name.
    private static let maximumStatements = 256

    private enum Key: Hashable {
        case parents(foreignKey: Int)
        case keyUse(table: Int)
        case present(table: Int)
        case rows(
            table: Int, MaterializeStatement.Kind, ColumnSet, MaterializeStatement.Form,
            MaterializeStatement.Expectation)
        case stored(BusinessWrites.Shape, MaterializeStatement.Expectation)
    }

    let schema: UploadSchema
    private let kept = Mutex<[Key: Statement]>([:])
    /// Nil: there is nothing to compare.
    private let comparisons = Mutex<[Key: StoredRowStatement?]>([:])

    init(_ schema: UploadSchema) {
        self.schema = schema
    }

    /// Looks up the parents of a foreign key.
    func parents(_ foreignKey: Int) -> Statement {
        statement(.parents(foreignKey: foreignKey)) {
            ParentStatement.make(schema.foreignKeys[foreignKey], in: schema)
        }
    }

    /// Writes a set of rows into a business table.
    func rows(
        _ table: Int, _ kind: MaterializeStatement.Kind, _ columns: ColumnSet,
        as form: MaterializeStatement.Form, expecting rows: MaterializeStatement.Expectation
    ) -> Statement {
        let columns = kind == .delete ? ColumnSet() : columns
        let rows = kind == .delete ? .asRecorded : rows
        return statement(.rows(table: table, kind, columns, form, rows)) {
            MaterializeStatement.make(
                schema.tables[table], kind, columns, as: form, expecting: rows)
        }
    }

    /// Whether the table may hold another row than a change says: false of most, and cheap to tell.
    func mayStoreOtherwise(
        _ change: Change, expecting rows: MaterializeStatement.Expectation
    ) -> Bool {
        rows == .anything || change.isOverruled || !change.defaulted.isEmpty
            || schema.tables[change.table].mayStoreOtherwise
    }

    /// Logs changes as the table has stored them; nil where it stores nothing but what it is given,
    /// or nothing at all.
    func stored(
        _ shape: BusinessWrites.Shape, expecting rows: MaterializeStatement.Expectation
    ) -> StoredRowStatement? {
        let table = schema.tables[shape.table]
        if shape.kind == .delete || table.registered.mode != .table { return nil }
        if rows == .asRecorded, !shape.isOverruled, !table.mayStoreOtherwise { return nil }
        let key = Key.stored(shape, rows)
        if let known = comparisons.withLock({ $0[key] }) { return known }
        let made = StoredRowStatement(table, shape, expecting: rows)
        comparisons.withLock {
            if $0.count < Self.maximumStatements { $0.updateValue(made, forKey: key) }
        }
        return made
    }

    /// Asks whether a key's row belongs to another user; nil where such a row cannot be in the way.
    func keyUse(_ table: Int) -> Statement? {
        guard let made = MaterializeStatement.isOthers(schema.tables[table]) else { return nil }
        return statement(.keyUse(table: table)) { made }
    }

    /// Expects inserted rows in their table; nil where the statement that inserts them does.
    func present(_ table: Int) -> Statement? {
        guard let made = PresentRowsStatement.make(schema.tables[table]) else { return nil }
        return statement(.present(table: table)) { made }
    }

    private func statement(_ key: Key, make: () -> Statement) -> Statement {
        if let known = kept.withLock({ $0[key] }) { return known }
        let made = make()
        kept.withLock { if $0.count < Self.maximumStatements { $0[key] = made } }
        return made
    }
}
