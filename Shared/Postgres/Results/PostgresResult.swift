import CLibPQ

/// The rows that one command answered, in libpq's own memory: reading a value copies nothing.
///
/// Rows and columns count from 0; an index outside the result traps.
// @unchecked: a PGresult is never changed after it was received, and libpq documents reading one
// from several threads as safe.
package final class PostgresResult: @unchecked Sendable {
    let pointer: OpaquePointer
    let statementName: String?
    package let rowCount: Int
    package let columnCount: Int
    /// Of all columns, as the statement asked for.
    package let format: ResultFormat

    /// Takes over `pointer` and clears it when the last reference is gone.
    init(owning pointer: OpaquePointer, statementName: String?) {
        self.pointer = pointer
        self.statementName = statementName
        rowCount = Int(PQntuples(pointer))
        columnCount = Int(PQnfields(pointer))
        format = PQbinaryTuples(pointer) == 1 ? .binary : .text
    }

    deinit {
        PQclear(pointer)
    }

    /// How many rows an INSERT, UPDATE, DELETE, SELECT or COPY concerned; 0 for other commands.
    package var affectedRows: Int {
        PQcmdTuples(pointer).flatMap { Int(String(cString: $0)) } ?? 0
    }

    package func columnName(_ column: Int) -> String {
        PQfname(pointer, Int32(column)).map { String(cString: $0) } ?? ""
    }

    package func columnType(_ column: Int) -> PostgresType {
        PostgresType(rawValue: PQftype(pointer, Int32(column)))
    }

    package func isNull(_ row: Int, _ column: Int) -> Bool {
        check(row, column)
        return PQgetisnull(pointer, Int32(row), Int32(column)) == 1
    }

    /// The value's bytes as they came, or nil for NULL.
    ///
    /// The buffer lies in this result's memory: it is valid as long as a reference to this object is
    /// held, and the compiler may drop its last one after the last use it sees. Keep the result
    /// alive with `withExtendedLifetime`, or use ``withBytes(_:_:_:)``.
    package func unsafeBytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        check(row, column)
        let count = PQgetlength(pointer, Int32(row), Int32(column))
        // NULL has no length either; every other value need not be asked.
        if count == 0, PQgetisnull(pointer, Int32(row), Int32(column)) == 1 { return nil }
        return UnsafeRawBufferPointer(
            start: PQgetvalue(pointer, Int32(row), Int32(column)), count: Int(count))
    }

    /// Calls `body` with the value's bytes, or nil for NULL. The bytes are valid during the call.
    package func withBytes<Value, Failure: Error>(
        _ row: Int, _ column: Int,
        _ body: (UnsafeRawBufferPointer?) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        defer { withExtendedLifetime(self) {} }
        return try body(unsafeBytes(row, column))
    }

    private func check(_ row: Int, _ column: Int) {
        precondition(row >= 0 && row < rowCount, "row outside the result")
        precondition(column >= 0 && column < columnCount, "column outside the result")
    }
}

/// One row of a result, for streaming.
package struct PostgresRow: Sendable {
    package let result: PostgresResult
    /// The row's index in `result`.
    package let index: Int
}
