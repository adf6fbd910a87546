import GRDB

/// A row of a page of which likely nothing is known here.
struct NewRow {
    let key: RowKey
    let version: Int64
    /// In the page's bytes.
    let payload: UnsafeBufferPointer<UInt8>
}

/// Writes rows that are new here, as most of a first sync are, some dozen with one statement and without looking
/// them up first.
///
/// The statements are INSERT OR FAIL: all that can refuse a row is looked at before anything of it is written, the
/// rows before it stay, and SQLite keeps no journal of the statement, which costs more than the rows.
struct NewRows {
    /// Rows of one statement.
    static let rowsPerStatement = 32
    /// Parameters of one statement that every build of SQLite takes.
    private static let maximumParameters = 999

    let db: Database
    let table: TableSchema
    let writer: RowWriter
    let known: KnownRows
    /// The columns of rows whose values the table has no place for are kept here.
    private var extra: SetAsideColumns { SetAsideColumns(db: db) }

    /// Writes rows with their versions.
    ///
    /// - Returns: the places of those that are left as they were: rows that are known after all, that the table
    ///   refuses, or that are for other reasons rows to be written as any other.
    func write(_ rows: [NewRow]) throws -> [Int] {
        var left: [Int] = []
        var batch: [Read] = []
        for (place, row) in rows.enumerated() {
            guard let values = writer.newValues(of: row.payload, key: row.key) else {
                left.append(place)
                continue
            }
            if let first = batch.first, first.values.plan !== values.plan {
                try write(&batch, left: &left)
            }
            batch.append(Read(row: row, place: place, values: values))
            if batch.count == size(for: values) { try write(&batch, left: &left) }
        }
        try write(&batch, left: &left)
        return left
    }

    private struct Read {
        let row: NewRow
        let place: Int
        let values: RowWriter.NewValues
    }

    private func size(for values: RowWriter.NewValues) -> Int {
        max(1, min(Self.rowsPerStatement, Self.maximumParameters / values.plan.columnCount))
    }

    private func write(_ batch: inout [Read], left: inout [Int]) throws {
        defer { batch.removeAll(keepingCapacity: true) }
        var rest = batch[...]
        if let first = batch.first, batch.count == size(for: first.values), batch.count > 1 {
            let noted = try note(batch)
            let written = noted == batch.count ? try insert(batch) : 0
            rest = batch[written...]
            // What is noted must be written, and what is not written must not stay noted.
            for read in rest.prefix(max(0, noted - written)) {
                try known.forget(table, read.row.key)
            }
        }
        for read in rest {
            if try note([read]) == 0 {
                left.append(read.place)
            } else if try insert([read]) == 0 {
                try known.forget(table, read.row.key)
                left.append(read.place)
            }
        }
    }

    /// - Returns: how many were noted, up to the first that is known.
    private func note(_ batch: [Read]) throws -> Int {
        let statement = try known.newStatement(rows: batch.count)
        defer { statement.clear() }
        for (index, read) in batch.enumerated() {
            let place = Int32(index * KnownRows.newParameters)
            let (values, payload) = (read.values, read.row.payload)
            statement.bind(integer: table.id, at: place + 1)
            if let spelling = values.spelling {
                statement.bind(text: read.row.key.wire, at: place + 2)
                statement.bind(spelling, at: place + 4)
            } else {
                values.values[values.keyIndex].bind(statement, at: place + 2, bytes: payload)
                statement.bindNull(at: place + 4)
            }
            statement.bind(integer: read.row.version, at: place + 3)
        }
        return try count(of: statement)
    }

    /// - Returns: how many were written, up to the first that the table refuses.
    private func insert(_ batch: [Read]) throws -> Int {
        guard let plan = batch.first?.values.plan else { return 0 }
        let statement = try plan.insertStatement(db, table, rows: batch.count)
        defer { statement.clear() }
        for (index, read) in batch.enumerated() {
            read.values.bind(read.row.payload, to: statement, row: index)
        }
        let count = try count(of: statement)
        if plan.hasUnknown {
            for read in batch.prefix(count) {
                try extra.store(writer.unknownColumns(read.row.payload), table, read.row.key)
            }
        }
        return count
    }

    private func count(of statement: RawStatement) throws -> Int {
        do { try statement.run(db) } catch let error as DatabaseError
            where error.resultCode.primaryResultCode == .SQLITE_CONSTRAINT
        {}
        return db.changesCount
    }
}

extension RowWriter {
    /// A payload read for a plain insert.
    struct NewValues {
        let plan: ColumnPlan
        let values: [DecodedValue]
        let keyIndex: Int
        /// The key as the row spells it; nil if as the wire does.
        let spelling: DatabaseValue?

        /// Binds the values as those of a statement's `row`th row. The payload's bytes must stay until it has run.
        func bind(_ payload: UnsafeBufferPointer<UInt8>, to statement: RawStatement, row: Int) {
            let before = Int32(row * plan.columnCount)
            for (index, value) in values.enumerated() {
                guard let target = plan.targets[index] else { continue }
                if index == keyIndex, let spelling {
                    statement.bind(spelling, at: before + target.parameter)
                } else {
                    value.bind(statement, at: before + target.parameter, bytes: payload)
                }
            }
        }
    }

    /// - Returns: nil if the row is one for `upsert`, be it to learn what is wrong with it.
    func newValues(of payload: UnsafeBufferPointer<UInt8>, key: RowKey) -> NewValues? {
        guard let row = try? read(payload), let keyIndex = row.plan.keyIndex else { return nil }
        let isWire = isWire(row.values[keyIndex], key, payload)
        return NewValues(
            plan: row.plan, values: row.values, keyIndex: keyIndex,
            spelling: isWire ? nil : spelling(of: key, in: row, payload))
    }

    /// Whether the app has triggers of its own on the table. They would inherit an OR-clause, and with it what a
    /// refusal inside of them leaves behind.
    static func hasAppTriggers(_ db: Database, _ table: TableSchema) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                SELECT 1 FROM (
                  SELECT name, type, tbl_name FROM sqlite_master
                  UNION ALL SELECT name, type, tbl_name FROM sqlite_temp_master)
                WHERE type = 'trigger' AND lower(tbl_name) = lower(?)
                  AND name NOT GLOB '_sync_[0-9]*_*' LIMIT 1
                """)
        return try Int.fetchOne(statement, arguments: [table.name]) != nil
    }
}
