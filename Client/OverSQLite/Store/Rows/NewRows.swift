import GRDB

/// Writes rows that are new on this device, like most rows of a first sync, a few dozen per
/// statement and without looking them up first.
///
/// The statements are INSERT OR FAIL. Everything that can refuse a row is checked before any part
/// of it is written, and the rows before it stay. SQLite then keeps no statement journal, which
/// would cost more than the rows.
struct NewRows {
    /// Rows per statement.
    static let rowsPerStatement = 32
    /// The maximum number of parameters per statement that every build of SQLite allows.
    private static let maximumParameters = 999

    let db: Database
    let table: TableSchema
    let writer: RowWriter
    let known: KnownRows
    /// Keeps the values of columns that the table does not have.
    private var extra: SetAsideColumns { SetAsideColumns(db: db) }

    /// Writes rows with their versions.
    ///
    /// - Returns: the places of the rows that were not written: rows that are already known, that
    ///   the table refuses, or that must be written one by one for another reason.
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

    /// A key's spelling, as far as it differs from the wire's.
    private struct SpelledKey {
        let local: DatabaseValue?
    }

    /// Rows for one statement.
    private struct Batch {
        struct Read {
            let row: NewRow
            let place: Int
            /// The key as the row spells it; nil if it is the wire's spelling.
            let spelling: DatabaseValue?
            /// Where the row's values begin.
            let start: Int
        }

        private(set) var rows: [Read] = []
        /// The values of all rows.
        private(set) var values: [DecodedValue] = []
        private(set) var plan: ColumnPlan?

        /// Adds a row.
        ///
        /// - Returns: the plan of the row's values. If it differs from the batch's plan, the row
        ///   starts a new batch. nil if the row was not added and must be written with `upsert`,
        ///   which reports what is wrong with it.
        mutating func add(_ row: NewRow, at place: Int, from writer: RowWriter) -> ColumnPlan? {
            let start = values.count
            guard let plan = try? writer.read(row.payload, into: &values) else { return nil }
            guard let keyIndex = plan.keyIndex, writer.inexact.isEmpty,
                let spelling = try? SpelledKey(
                    local: writer.spelling(of: row.key, as: values[start + keyIndex], row.payload))
            else {
                values.removeLast(values.count - start)
                return nil
            }
            rows.append(Read(row: row, place: place, spelling: spelling.local, start: start))
            if self.plan == nil { self.plan = plan }
            return plan
        }

        /// Removes the last row and returns it as the first of a new batch.
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
            // What is recorded must be written, and what is not written must not stay recorded.
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

    /// - Returns: the number of rows recorded, up to the first that is already known.
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
            statement.bind(integer: read.row.term, at: place + 5)
        }
        return try count(of: statement)
    }

    /// - Returns: the number of rows written, up to the first that the table refuses.
    private func insert(_ part: Range<Int>, of batch: Batch, _ plan: ColumnPlan) throws -> Int {
        let statement = try plan.insertStatement(db, table, rows: part.count)
        defer { statement.clear() }
        for (offset, index) in part.enumerated() {
            bind(batch.rows[index], of: batch, plan, to: statement, row: offset)
        }
        let count = try count(of: statement)
        for read in batch.rows[part].prefix(count) {
            if let spelling = read.spelling {
                writer.rememberSpelling(spelling, of: read.row.key)
            }
        }
        if plan.hasUnknown {
            for read in batch.rows[part].prefix(count) {
                try extra.store(writer.unknownColumns(read.row.payload), table, read.row.key)
            }
        }
        return count
    }

    /// Binds a row's values as those of the statement's row number `row`. The payload's bytes must
    /// stay valid until the statement has run.
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
