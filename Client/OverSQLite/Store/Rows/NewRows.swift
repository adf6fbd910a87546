import GRDB

/// Writes rows that are new here, as most of a first sync are, some dozen with one statement and
/// without looking them up first.
///
/// The statements are INSERT OR FAIL: all that can refuse a row is looked at before anything of it
/// is written, the rows before it stay, and SQLite keeps no journal of the statement, which costs
/// more than the rows.
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
    /// - Returns: the places of those that are left as they were: rows that are known after all,
    ///   that the table refuses, or that are for other reasons rows to be written as any other.
    func write(_ rows: [NewRow]) throws -> [Int] {
        var left: [Int] = []
        var batch = Batch()
        for (place, row) in rows.enumerated() {
            guard let plan = batch.add(row, at: place, from: writer) else {
                left.append(place)
                continue
            }
            if plan !== batch.plan {
                let last = batch.removeLast(plan)
                try write(&batch, left: &left)
                batch = last
            }
            if batch.rows.count == size(for: plan) { try write(&batch, left: &left) }
        }
        try write(&batch, left: &left)
        return left
    }

    /// Rows that go into one statement, or would if they were enough.
    private struct Batch {
        struct Read {
            let row: NewRow
            let place: Int
            /// The key as the row spells it; nil if as the wire does.
            let spelling: DatabaseValue?
            /// Where its values begin.
            let start: Int
        }

        private(set) var rows: [Read] = []
        /// Of all of them.
        private(set) var values: [DecodedValue] = []
        private(set) var plan: ColumnPlan?

        /// - Returns: what the row's values follow; another plan than the batch's if it begins a
        ///   new one. nil, with nothing added, if the row is one for `upsert`, which may find out
        ///   what is wrong with it.
        mutating func add(_ row: NewRow, at place: Int, from writer: RowWriter) -> ColumnPlan? {
            let start = values.count
            guard let plan = try? writer.read(row.payload, into: &values) else { return nil }
            guard let keyIndex = plan.keyIndex else {
                values.removeLast(values.count - start)
                return nil
            }
            let key = values[start + keyIndex]
            let spelling =
                writer.isWire(key, row.key, row.payload)
                ? nil : writer.spelling(of: row.key, as: key, row.payload)
            rows.append(Read(row: row, place: place, spelling: spelling, start: start))
            if self.plan == nil { self.plan = plan }
            return plan
        }

        /// Takes the last row out, as the first of a batch of its own.
        mutating func removeLast(_ plan: ColumnPlan) -> Batch {
            let last = rows.removeLast()
            var next = Batch()
            next.plan = plan
            next.values = Array(values[last.start...])
            values.removeLast(values.count - last.start)
            next.rows = [
                Read(row: last.row, place: last.place, spelling: last.spelling, start: 0)
            ]
            return next
        }

        mutating func removeAll() {
            rows.removeAll(keepingCapacity: true)
            values.removeAll(keepingCapacity: true)
            plan = nil
        }
    }

    private func size(for plan: ColumnPlan) -> Int {
        max(1, min(Self.rowsPerStatement, Self.maximumParameters / plan.columnCount))
    }

    private func write(_ batch: inout Batch, left: inout [Int]) throws {
        defer { batch.removeAll() }
        guard let plan = batch.plan else { return }
        var rest = batch.rows.indices
        if rest.count == size(for: plan), rest.count > 1 {
            let noted = try record(rest, of: batch, plan)
            let written = noted == rest.count ? try insert(rest, of: batch, plan) : 0
            // What is noted must be written, and what is not written must not stay noted.
            for index in rest[written..<max(written, noted)] {
                try known.forget(table, batch.rows[index].row.key)
            }
            rest = rest[written...]
        }
        for index in rest {
            let one = index..<index + 1
            if try record(one, of: batch, plan) == 0 {
                left.append(batch.rows[index].place)
            } else if try insert(one, of: batch, plan) == 0 {
                try known.forget(table, batch.rows[index].row.key)
                left.append(batch.rows[index].place)
            }
        }
    }

    /// - Returns: how many were noted, up to the first that is known.
    private func record(_ part: Range<Int>, of batch: Batch, _ plan: ColumnPlan) throws -> Int {
        let statement = try known.newStatement(rows: part.count)
        defer { statement.clear() }
        for (offset, index) in part.enumerated() {
            let place = Int32(offset * KnownRows.newParameters)
            let read = batch.rows[index]
            statement.bind(integer: table.id, at: place + 1)
            if let spelling = read.spelling {
                statement.bind(text: read.row.key.wire, at: place + 2)
                statement.bind(spelling, at: place + 4)
            } else {
                batch.values[read.start + (plan.keyIndex ?? 0)].bind(
                    statement, at: place + 2, bytes: read.row.payload)
                statement.bindNull(at: place + 4)
            }
            statement.bind(integer: read.row.version, at: place + 3)
        }
        return try count(of: statement)
    }

    /// - Returns: how many were written, up to the first that the table refuses.
    private func insert(_ part: Range<Int>, of batch: Batch, _ plan: ColumnPlan) throws -> Int {
        let statement = try plan.insertStatement(db, table, rows: part.count)
        defer { statement.clear() }
        for (offset, index) in part.enumerated() {
            bind(batch.rows[index], of: batch, plan, to: statement, row: offset)
        }
        let count = try count(of: statement)
        if plan.hasUnknown {
            for read in batch.rows[part].prefix(count) {
                try extra.store(writer.unknownColumns(read.row.payload), table, read.row.key)
            }
        }
        return count
    }

    /// Binds a row's values as those of a statement's `row`th row. The payload's bytes must stay
    /// until it has run.
    private func bind(
        _ read: Batch.Read, of batch: Batch, _ plan: ColumnPlan, to statement: RawStatement,
        row: Int
    ) {
        let before = Int32(row * plan.columnCount)
        for index in 0..<plan.nameCount {
            guard let parameter = plan.parameters[index] else { continue }
            if index == plan.keyIndex, let spelling = read.spelling {
                statement.bind(spelling, at: before + parameter)
            } else {
                batch.values[read.start + index].bind(
                    statement, at: before + parameter, bytes: read.row.payload)
            }
        }
    }

    private func count(of statement: RawStatement) throws -> Int {
        do { try statement.run(db) } catch let error as DatabaseError
            where error.isOfTheRow
        {}
        return db.changesCount
    }
}

extension RowWriter {
    /// Whether the app has triggers of its own on the table. They would inherit an OR-clause, and
    /// with it what a refusal inside of them leaves behind.
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
