/// Typed reading of single values. Each throws `.decoding`, naming the column, when the value is
/// NULL or has another form; the `optional…` variants return nil for NULL.
extension PostgresResult {
    /// An `int2`, `int4` or `int8`, in either format.
    package func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
        try required(row, column, "an integer", ValueDecoding.integer)
    }

    package func optionalInt64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try optional(row, column, "an integer", ValueDecoding.integer)
    }

    package func int32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32 {
        try required(row, column, "a 32-bit integer", ValueDecoding.narrow)
    }

    package func optionalInt32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
        try optional(row, column, "a 32-bit integer", ValueDecoding.narrow)
    }

    package func int16(_ row: Int, _ column: Int) throws(PostgresError) -> Int16 {
        try required(row, column, "a 16-bit integer", ValueDecoding.narrow)
    }

    package func optionalInt16(_ row: Int, _ column: Int) throws(PostgresError) -> Int16? {
        try optional(row, column, "a 16-bit integer", ValueDecoding.narrow)
    }

    /// A `timestamptz` in binary format.
    package func microsecondsSince2000(
        _ row: Int, _ column: Int
    ) throws(PostgresError) -> Int64 {
        try required(row, column, "a time in binary format") { bytes, format in
            guard format == .binary, bytes.count == 8 else { return nil }
            return ValueDecoding.integer(bytes, format)
        }
    }

    package func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
        try required(row, column, "a boolean", ValueDecoding.bool)
    }

    package func optionalBool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
        try optional(row, column, "a boolean", ValueDecoding.bool)
    }

    package func double(_ row: Int, _ column: Int) throws(PostgresError) -> Double {
        try required(row, column, "a double", ValueDecoding.double)
    }

    package func optionalDouble(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
        try optional(row, column, "a double", ValueDecoding.double)
    }

    /// Any type in text format, or a type whose binary form is its text.
    package func string(_ row: Int, _ column: Int) throws(PostgresError) -> String {
        try required(row, column, "UTF-8 text", ValueDecoding.string)
    }

    package func optionalString(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
        try optional(row, column, "UTF-8 text", ValueDecoding.string)
    }

    /// A `bytea`, in either format (in text format only `\x…`, the server's default output).
    package func bytea(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
        try required(row, column, "a bytea", ValueDecoding.bytea)
    }

    package func optionalBytea(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
        try optional(row, column, "a bytea", ValueDecoding.bytea)
    }

    /// A `"char"`: one byte.
    package func char(_ row: Int, _ column: Int) throws(PostgresError) -> UInt8 {
        try required(row, column, "one byte") { bytes, _ in bytes.count == 1 ? bytes[0] : nil }
    }

    private func required<Value>(
        _ row: Int, _ column: Int, _ what: String,
        _ decode: (UnsafeRawBufferPointer, ResultFormat) -> Value?
    ) throws(PostgresError) -> Value {
        guard let value = try optional(row, column, what, decode) else {
            throw failure(row, column, "NULL where \(what) is needed")
        }
        return value
    }

    private func optional<Value>(
        _ row: Int, _ column: Int, _ what: String,
        _ decode: (UnsafeRawBufferPointer, ResultFormat) -> Value?
    ) throws(PostgresError) -> Value? {
        // A table that always has a row may have been emptied, by hand or by half a restore.
        guard row < rowCount else {
            throw PostgresError(
                .decoding("row \(row) of \(rowCount): there is no \(what) to read"),
                statementName: statementName)
        }
        guard let bytes = unsafeBytes(row, column) else { return nil }
        defer { withExtendedLifetime(self) {} }
        guard let value = decode(bytes, format) else {
            throw failure(row, column, "not \(what)")
        }
        return value
    }

    private func failure(_ row: Int, _ column: Int, _ what: String) -> PostgresError {
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
