/// Reads the columns of one row in the order of the select list; each reading takes the next one.
///
/// Values are read in the result's own memory. Every reading throws `.decoding`, naming the column,
/// when the value has another form or is NULL where none is expected, and when there is no further
/// column.
package struct RowColumns {
    @usableFromInline let result: PostgresResult
    @usableFromInline let row: Int
    /// The index of the next column.
    private var position = 0

    init(_ result: PostgresResult, row: Int) {
        self.result = result
        self.row = row
    }

    @inlinable
    package mutating func next<Value: ColumnValue>(
        _ type: Value.Type
    ) throws(PostgresError) -> Value {
        try result.value(row, try take(), as: type)
    }

    /// Reads a column that can be NULL: `next(Int64?.self)`.
    @inlinable
    package mutating func next<Value: ColumnValue>(
        _ type: Value?.Type
    ) throws(PostgresError) -> Value? {
        try result.optionalValue(row, try take(), as: Value.self)
    }

    // The same for the types of pages' columns. A generic call from another module asks the runtime
    // for a type's metadata with each value: an eighth of the CPU of a page.

    package mutating func next(_ type: Int64.Type) throws(PostgresError) -> Int64 {
        try result.int64(row, try take())
    }

    package mutating func next(_ type: Int64?.Type) throws(PostgresError) -> Int64? {
        try result.optionalInt64(row, try take())
    }

    package mutating func next(_ type: PostgresTime.Type) throws(PostgresError) -> PostgresTime {
        try result.value(row, try take(), as: type)
    }

    package mutating func next(_ type: String.Type) throws(PostgresError) -> String {
        try result.string(row, try take())
    }

    package mutating func next(_ type: Bool.Type) throws(PostgresError) -> Bool {
        try result.bool(row, try take())
    }

    /// Takes the value's bytes as they came, or nil for NULL.
    ///
    /// The buffer lies in the result's memory: keep the ``Rows`` alive while it is in use.
    package mutating func nextUnsafeBytes() throws(PostgresError) -> UnsafeRawBufferPointer? {
        result.unsafeBytes(row, try take())
    }

    /// Leaves one column unread.
    package mutating func skip() throws(PostgresError) {
        _ = try take()
    }

    /// Leaves the columns that follow unread.
    package mutating func skipRest() {
        position = result.columnCount
    }

    /// - Throws: `.decoding` if the row has a further column: the decoder does not fit the select
    ///   list.
    func finish() throws(PostgresError) {
        guard position == result.columnCount else { throw miscount("\(position)") }
    }

    /// The index of the column to read now.
    @usableFromInline
    mutating func take() throws(PostgresError) -> Int {
        guard position < result.columnCount else { throw miscount("more") }
        defer { position += 1 }
        return position
    }

    private func miscount(_ read: String) -> PostgresError {
        PostgresError(
            .decoding("a row of \(result.columnCount) columns: its decoder reads \(read)"),
            statementName: result.statementName)
    }
}

/// Reads one row: each column of the select list once, in order.
package typealias RowDecoder<Row> =
    @Sendable (_ columns: inout RowColumns) throws(PostgresError) -> Row
