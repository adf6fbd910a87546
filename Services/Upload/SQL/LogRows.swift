import Model
import Postgres

/// Changes as rows of the log: what `appendLog` and `StoredRowStatement` insert, but for the scope
/// and the device.
struct LogRows {
    /// The columns of `sync.change_log` with the types of their arrays, and how SQL names those.
    private static let arrays: [(column: String, type: PostgresType, name: String)] = [
        ("seq", .int8Array, "int8[]"), ("table_id", .int2Array, "int2[]"),
        ("op", .charArray, "\"char\"[]"), ("key", .byteaArray, "bytea[]"),
        ("version", .int8Array, "int8[]"), ("payload", .jsonArray, "json[]"),
        ("source_change_id", .int8Array, "int8[]"), ("content_hash", .int8Array, "int8[]"),
    ]
    /// The types of the arrays and of the time.
    static let types = arrays.map(\.type) + [.timestamptz]
    /// The columns' names.
    static let columns = arrays.map(\.column).joined(separator: ", ")

    /// The columns of `row`, an alias.
    ///
    /// - Parameter payload: what stands for the payload; nil: itself.
    static func columns(of row: String, payload: String? = nil) -> String {
        arrays.map { column, _, _ in
            column == "payload" ? payload ?? "\(row).payload" : "\(row).\(column)"
        }.joined(separator: ", ")
    }

    /// What a change takes in addition to its payload, as an estimate.
    private static let bytesPerChange = 100

    /// The arrays as arguments of `unnest`.
    ///
    /// - Parameter first: the first one's parameter.
    static func arguments(from first: Int) -> String {
        arrays.enumerated().map { "$\(first + $0)::\($1.name)" }.joined(separator: ", ")
    }

    /// The time of all changes: by it the last one's tag is known before it is written.
    ///
    /// - Parameter first: the first array's parameter.
    static func time(from first: Int) -> String { "$\(first + arrays.count)" }

    private let entries: [LogEntry]
    private let changes: [Change]
    private let body: UnsafeBufferPointer<UInt8>
    private let payloadBytes: Int

    /// - Parameter body: the bytes of the changes' payloads.
    init(_ entries: [LogEntry], of changes: [Change], _ body: UnsafeBufferPointer<UInt8>) {
        self.entries = entries
        self.changes = changes
        self.body = body
        payloadBytes = entries.reduce(0) { $0 + (changes[$1.change].payload?.count ?? 0) + 4 }
    }

    /// Bytes of the bindings, as an estimate.
    var bytes: Int { payloadBytes + entries.count * Self.bytesPerChange }

    /// Binds the arrays and the time.
    func bind(to bindings: inout Bindings) {
        let count = entries.count
        var sequences = ArrayBinding(of: .int8, reserving: count)
        var tables = ArrayBinding(of: .int2, reserving: count)
        var operations = ArrayBinding(of: .char, reserving: count)
        var keys = ArrayBinding(of: .bytea, reserving: count, bytes: count * 20)
        var versions = ArrayBinding(of: .int8, reserving: count)
        var payloads = ArrayBinding(of: .json, reserving: count, bytes: payloadBytes)
        var ids = ArrayBinding(of: .int8, reserving: count)
        var hashes = ArrayBinding(of: .int8, reserving: count)
        for entry in entries {
            let change = changes[entry.change]
            sequences.append(entry.sequence)
            tables.append(change.row.table)
            operations.append(char: change.operation.letter)
            change.row.key.withStoredBytes { keys.append(bytes: $0) }
            versions.append(entry.version)
            if let payload = change.payload {
                payloads.append(
                    bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(body)[payload]))
            } else {
                payloads.appendNull()
            }
            ids.append(change.id)
            hashes.append(change.contentHash)
        }
        for array in [sequences, tables, operations, keys, versions, payloads, ids, hashes] {
            bindings.bind(array)
        }
        bindings.bind(microsecondsSince2000: entries.first?.time)
    }
}
