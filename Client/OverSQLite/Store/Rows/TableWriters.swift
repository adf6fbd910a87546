import GRDB

/// The writers of one transaction, and which tables they wrote.
final class TableWriters {
    let db: Database
    private var writers: [Int64: RowWriter] = [:]
    private var changed: [Int64: String] = [:]

    let known: KnownRows
    /// Whether a row may have values that it cannot give back.
    private var hasExact: Bool
    /// Whether any row of the server is held.
    var hasHeld = false
    /// Outcomes of pending edits, for callers that wait for them.
    var outcomes: [RowOutcome] = []

    init(_ db: Database) throws {
        self.db = db
        known = try KnownRows(db: db)
        hasExact = try SetAsideColumns(db: db).hasExact()
    }

    func writer(_ table: TableSchema) throws -> RowWriter {
        if let writer = writers[table.id] { return writer }
        let writer = try RowWriter(db, table)
        writers[table.id] = writer
        return writer
    }

    /// Writes the server's row, or its deletion, together with its version. Runs under apply mode.
    ///
    /// The version of a delete is recorded first. So the delete trigger's touch counts as the
    /// server's, and only rows deleted by a cascade remain to be sent (`FoldRules`).
    ///
    /// - Parameter local: the key as the row spells it; nil if the row is not here.
    func write(_ row: RemoteRow, _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue?)
        throws
    {
        if let payload = row.payload {
            try payload.withUnsafeBufferPointer {
                try upsert($0, version: row.version, row.term, table, key, local: local)
            }
        } else {
            try delete(version: row.version, table, key, local: local)
        }
    }

    /// - Parameter term: what the row adds to its table's digest; nil if that is not known.
    func upsert(
        _ payload: UnsafeBufferPointer<UInt8>, version: Int64, _ term: Int64?,
        _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue?
    ) throws {
        let (spelling, unknown) = try writer(table).upsert(payload, key: key, local: local)
        rememberChange(in: table)
        try known.record(
            table, key, KnownRow(version: version, isDeleted: false), local: spelling,
            term: term)
        try SetAsideColumns(db: db).store(unknown, table, key)
        try keepExact(try writer(table).inexact, table, key, local: spelling)
    }

    /// Keeps values that the row cannot give back, as the row has them now.
    ///
    /// - Parameter local: the key as the row spells it.
    private func keepExact(
        _ values: [ExactValue], _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue
    ) throws {
        if values.isEmpty, !hasExact { return }
        hasExact = true
        let stored = values.isEmpty ? nil : try LocalRow(db: db, table: table).values(local)
        try SetAsideColumns(db: db).storeExact(values, as: stored ?? [:], table, key)
    }

    /// Keeps the values of a merged row that are the server's and that the row cannot give back.
    ///
    /// - Parameters:
    ///   - merged: the row that was written.
    ///   - server: the server's row, which the payload holds.
    func keepExact(
        of payload: [UInt8], _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue,
        merged: RowValues, server: RowValues
    ) throws {
        let writer = try writer(table)
        _ = try payload.withUnsafeBufferPointer { try writer.read($0) }
        let taken = writer.inexact.filter { merged[$0.column] == server[$0.column] }
        try keepExact(taken, table, key, local: local)
    }

    /// Writes rows that are probably unknown on this device.
    ///
    /// - Returns: the places of the rows that must be written one by one.
    func insert(_ rows: [NewRow], _ table: TableSchema) throws -> [Int] {
        let left = try NewRows(db: db, table: table, writer: try writer(table), known: known).write(
            rows)
        if left.count < rows.count { rememberChange(in: table) }
        return left
    }

    func delete(version: Int64, _ table: TableSchema, _ key: DeviceRowKey, local: DatabaseValue?)
        throws
    {
        let spelling = local ?? table.keyForm.local(key)
        // A foreign key with ON DELETE RESTRICT may refuse the delete; then the version must not
        // stay recorded.
        try db.inSavepoint {
            try known.record(
                table, key, KnownRow(version: version, isDeleted: true), local: spelling,
                term: nil)
            try writer(table).delete(local: spelling)
            return .commit
        }
        rememberChange(in: table)
    }

    func setAsideUnknown(_ payload: [UInt8], _ table: TableSchema, _ key: DeviceRowKey) throws {
        let unknown = try payload.withUnsafeBufferPointer { try writer(table).unknownColumns($0) }
        try SetAsideColumns(db: db).store(unknown, table, key)
    }

    /// The rows that were written under another spelling than the wire's and were not here before,
    /// by their table's number. Each is returned once.
    func takeNewSpellings() -> [Int64: [DeviceRowKey: DatabaseValue]] {
        var found: [Int64: [DeviceRowKey: DatabaseValue]] = [:]
        for (id, writer) in writers where !writer.newSpellings.isEmpty {
            found[id] = writer.newSpellings
            writer.newSpellings = [:]
        }
        return found
    }

    /// The columns in which triggers of the app's gave rows of the server's other values.
    var altered: Set<String> {
        Set(
            writers.values.flatMap { writer in
                writer.altered.map { "\(writer.table.name).\($0)" }
            })
    }

    func rememberChange(in table: TableSchema) { changed[table.id] = table.name }

    /// Tells GRDB's observers about the tables that were written without GRDB noticing.
    func announce() throws {
        for name in changed.values { try db.notifyChanges(in: Table(name)) }
    }
}
