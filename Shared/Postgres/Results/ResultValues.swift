/// Typed reading of single values. Each throws `.decoding`, naming the column, when the value is
/// NULL or has another form; the `optional…` variants return nil for NULL.
extension PostgresResult {
    /// An `int2`, `int4` or `int8`, in either format.
    package func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
        try value(row, column, as: Int64.self)
    }

    package func optionalInt64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try optionalValue(row, column, as: Int64.self)
    }

    package func int32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32 {
        try value(row, column, as: Int32.self)
    }

    package func optionalInt32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
        try optionalValue(row, column, as: Int32.self)
    }

    package func int16(_ row: Int, _ column: Int) throws(PostgresError) -> Int16 {
        try value(row, column, as: Int16.self)
    }

    package func optionalInt16(_ row: Int, _ column: Int) throws(PostgresError) -> Int16? {
        try optionalValue(row, column, as: Int16.self)
    }

    /// A `timestamptz` in binary format.
    package func microsecondsSince2000(
        _ row: Int, _ column: Int
    ) throws(PostgresError) -> Int64 {
        try value(row, column, as: PostgresTime.self).microsecondsSince2000
    }

    package func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
        try value(row, column, as: Bool.self)
    }

    package func optionalBool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
        try optionalValue(row, column, as: Bool.self)
    }

    package func double(_ row: Int, _ column: Int) throws(PostgresError) -> Double {
        try value(row, column, as: Double.self)
    }

    package func optionalDouble(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
        try optionalValue(row, column, as: Double.self)
    }

    /// Any type in text format, or a type whose binary form is its text.
    package func string(_ row: Int, _ column: Int) throws(PostgresError) -> String {
        try value(row, column, as: String.self)
    }

    package func optionalString(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
        try optionalValue(row, column, as: String.self)
    }

    /// A `bytea`, in either format (in text format only `\x…`, the server's default output).
    package func bytea(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
        try value(row, column, as: [UInt8].self)
    }

    package func optionalBytea(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
        try optionalValue(row, column, as: [UInt8].self)
    }

    /// A `"char"`: one byte.
    package func char(_ row: Int, _ column: Int) throws(PostgresError) -> UInt8 {
        try value(row, column, as: UInt8.self)
    }

    /// The value, which must not be NULL.
    @inlinable
    func value<Value: ColumnValue>(
        _ row: Int, _ column: Int, as type: Value.Type
    ) throws(PostgresError) -> Value {
        guard let value = try optionalValue(row, column, as: type) else {
            throw failure(row, column, "NULL where \(type.columnForm) is needed")
        }
        return value
    }

    /// The value; nil for NULL.
    @inlinable
    func optionalValue<Value: ColumnValue>(
        _ row: Int, _ column: Int, as type: Value.Type
    ) throws(PostgresError) -> Value? {
        guard let bytes = try bytes(row, column, type) else { return nil }
        defer { withExtendedLifetime(self) {} }
        guard let value = type.decoded(from: bytes, format) else {
            throw failure(row, column, "not \(type.columnForm)")
        }
        return value
    }

    /// - Throws: if there is no such row: a table that always has one may have been emptied, by
    ///   hand or by half a restore.
    @usableFromInline
    func bytes(
        _ row: Int, _ column: Int, _ type: any ColumnValue.Type
    ) throws(PostgresError) -> UnsafeRawBufferPointer? {
        guard row < rowCount else {
            throw PostgresError(
                .decoding("row \(row) of \(rowCount): there is no \(type.columnForm) to read"),
                statementName: statementName)
        }
        return unsafeBytes(row, column)
    }

    @usableFromInline
    func failure(_ row: Int, _ column: Int, _ what: String) -> PostgresError {
        let place = "column \(columnName(column)) (\(column)) of row \(row): \(what)"
        return PostgresError(.decoding(place), statementName: statementName)
    }
}

extension PostgresRow {
    package func isNull(_ column: Int) -> Bool {
        result.isNull(index, column)
    }

    package func int64(_ column: Int) throws(PostgresError) -> Int64 {
        try result.int64(index, column)
    }

    package func int32(_ column: Int) throws(PostgresError) -> Int32 {
        try result.int32(index, column)
    }

    package func bool(_ column: Int) throws(PostgresError) -> Bool {
        try result.bool(index, column)
    }

    package func string(_ column: Int) throws(PostgresError) -> String {
        try result.string(index, column)
    }

    package func optionalString(_ column: Int) throws(PostgresError) -> String? {
        try result.optionalString(index, column)
    }

    package func bytea(_ column: Int) throws(PostgresError) -> [UInt8] {
        try result.bytea(index, column)
    }

    /// See ``PostgresResult/withBytes(_:_:_:)``.
    package func withBytes<Value, Failure: Error>(
        _ column: Int, _ body: (UnsafeRawBufferPointer?) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try result.withBytes(index, column, body)
    }
}
