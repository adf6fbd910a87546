/// A type that a column's value can be read as.
package protocol ColumnValue: Sendable {
    /// What the value must be, with its article, for errors: "an integer".
    static var columnForm: String { get }

    /// - Returns: nil when the bytes have another form.
    static func decoded(from bytes: UnsafeRawBufferPointer, _ format: ResultFormat) -> Self?
}

/// An `int2`, `int4` or `int8`, in either format.
extension Int64: ColumnValue {
    package static var columnForm: String { "an integer" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Int64? {
        ValueDecoding.integer(bytes, format)
    }
}

extension Int32: ColumnValue {
    package static var columnForm: String { "a 32-bit integer" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Int32? {
        ValueDecoding.narrow(bytes, format)
    }
}

extension Int16: ColumnValue {
    package static var columnForm: String { "a 16-bit integer" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Int16? {
        ValueDecoding.narrow(bytes, format)
    }
}

/// A `"char"`: one byte.
extension UInt8: ColumnValue {
    package static var columnForm: String { "one byte" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> UInt8? {
        bytes.count == 1 ? bytes[0] : nil
    }
}

extension Bool: ColumnValue {
    package static var columnForm: String { "a boolean" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Bool? {
        ValueDecoding.bool(bytes, format)
    }
}

extension Double: ColumnValue {
    package static var columnForm: String { "a double" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> Double? {
        ValueDecoding.double(bytes, format)
    }
}

/// Any type in text format, or a type whose binary form is its text.
extension String: ColumnValue {
    package static var columnForm: String { "UTF-8 text" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> String? {
        ValueDecoding.string(bytes, format)
    }
}

/// A `bytea`, in either format (in text format only `\x…`, the server's default output).
extension Array: ColumnValue where Element == UInt8 {
    package static var columnForm: String { "a bytea" }

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> [UInt8]? {
        ValueDecoding.bytea(bytes, format)
    }
}

/// A `timestamptz` in binary format.
package struct PostgresTime: ColumnValue {
    package static let columnForm = "a time in binary format"

    package let microsecondsSince2000: Int64

    package static func decoded(
        from bytes: UnsafeRawBufferPointer, _ format: ResultFormat
    ) -> PostgresTime? {
        guard format == .binary, bytes.count == 8 else { return nil }
        return ValueDecoding.integer(bytes, format).map(PostgresTime.init)
    }
}
