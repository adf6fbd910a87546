import CLibPQ

/// Sending of single protocol messages with libpq's own conventions; each returns false when libpq
/// refuses, and copies what it is given.
enum Sending {
    /// Parse.
    static func prepare(
        _ connection: OpaquePointer, name: String, sql: String, types: [PostgresType]
    ) -> Bool {
        PQsendPrepare(connection, name, sql, Int32(types.count), types.map(\.rawValue)) == 1
    }

    /// Bind and Execute of a prepared statement.
    static func execute(
        _ connection: OpaquePointer, name: String, bindings: Bindings, results: ResultFormat
    ) -> Bool {
        withArrays(of: bindings) { values, lengths, formats in
            PQsendQueryPrepared(
                connection, name, Int32(bindings.count), values, lengths, formats,
                results.rawValue) == 1
        }
    }

    /// Parse, Bind and Execute without a name.
    static func execute(_ connection: OpaquePointer, _ command: Command) -> Bool {
        let statement = command.statement
        let types = statement.parameters.map(\.rawValue)
        return withArrays(of: command.bindings) { values, lengths, formats in
            types.withUnsafeBufferPointer { types in
                PQsendQueryParams(
                    connection, statement.sql, Int32(command.bindings.count),
                    types.isEmpty ? nil : types.baseAddress, values, lengths, formats,
                    statement.results.rawValue) == 1
            }
        }
    }

    private static func withArrays<Value>(
        of bindings: Bindings,
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> Value
    ) -> Value {
        let slots = bindings.slots
        if slots.isEmpty { return body(nil, nil, nil) }
        let formats = [Int32](repeating: ResultFormat.binary.rawValue, count: slots.count)
        let lengths = slots.map { Int32($0.length) }
        return bindings.storage.withUnsafeBytes { bytes in
            let values = slots.map { slot in
                slot.length < 0
                    ? nil
                    : bytes.baseAddress?.advanced(by: slot.offset)
                        .assumingMemoryBound(to: CChar.self)
            }
            return body(values, lengths, formats)
        }
    }
}
