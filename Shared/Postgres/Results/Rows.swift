/// The rows that one statement answered, decoded one by one as they are read:
///
///     var rows = try await connection.run(ReadChanges(user: user))
///     while let change = try rows.next() { … }
///
/// Every reading throws `.decoding`, as ``RowColumns`` does, and when a row has more columns than
/// its decoder reads.
package struct Rows<Row>: Sendable {
    @usableFromInline let result: PostgresResult
    @usableFromInline let decode: RowDecoder<Row>
    /// The index of the next row.
    @usableFromInline var index = 0

    init(_ result: PostgresResult, decode: @escaping RowDecoder<Row>) {
        self.result = result
        self.decode = decode
    }

    /// How many rows there are, those already read included.
    package var count: Int { result.rowCount }

    package var isEmpty: Bool { count == 0 }

    /// How many rows an INSERT, UPDATE, DELETE or SELECT concerned; 0 for other commands.
    package var affectedRows: Int { result.affectedRows }

    /// The next row; nil after the last one.
    @inlinable
    package mutating func next() throws(PostgresError) -> Row? {
        guard index < result.rowCount else { return nil }
        defer { index += 1 }
        return try row(at: index)
    }

    /// The first row; nil if there is none.
    package func first() throws(PostgresError) -> Row? {
        isEmpty ? nil : try row(at: 0)
    }

    /// The first row, where there must be one.
    ///
    /// - Throws: also if there is none: a table that always has a row may have been emptied, by
    ///   hand or by half a restore.
    package func one() throws(PostgresError) -> Row {
        guard let row = try first() else {
            throw PostgresError(
                .decoding("an answer without the row that is needed"),
                statementName: result.statementName)
        }
        return row
    }

    /// All rows, in order.
    package func all() throws(PostgresError) -> [Row] {
        var all: [Row] = []
        all.reserveCapacity(count)
        for index in 0..<count { all.append(try row(at: index)) }
        return all
    }

    @inlinable
    func row(at index: Int) throws(PostgresError) -> Row {
        var columns = RowColumns(result, row: index)
        let row = try decode(&columns)
        try columns.finish()
        return row
    }
}
