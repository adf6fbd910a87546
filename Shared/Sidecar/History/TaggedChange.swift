import Crypto
import Model
import Postgres

/// What a change's tag covers. `sync.change_tag` computes the same.
///
/// The time tells a change from its own repetition after a restore. Numbers that depend on the
/// database (of the scope, of the table, of the device) are left out.
package struct TaggedChange: Hashable, Sendable {
    package let sequence: Sequence64
    /// `I`, `U` or `D`.
    package let operation: UInt8
    package let version: RowVersion
    package let changeID: ChangeID
    /// Of what a device sent; 0 for plain SQL.
    package let contentHash: Int64
    package let microsecondsSince2000: Int64
    /// As stored.
    package let key: [UInt8]

    package init(
        sequence: Sequence64, operation: UInt8, version: RowVersion, changeID: ChangeID,
        contentHash: Int64, microsecondsSince2000: Int64, key: [UInt8]
    ) {
        self.sequence = sequence
        self.operation = operation
        self.version = version
        self.changeID = changeID
        self.contentHash = contentHash
        self.microsecondsSince2000 = microsecondsSince2000
        self.key = key
    }

    /// The first 8 bytes of a SHA-256 over the values as PostgreSQL sends them.
    package var tag: UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.fixedBytes + key.count)
        func append(_ number: Int64) {
            withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
        }
        append(sequence)
        bytes.append(operation)
        append(version)
        append(changeID)
        append(contentHash)
        append(microsecondsSince2000)
        bytes.append(contentsOf: key)
        return SHA256.hash(data: bytes).withUnsafeBytes {
            UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self))
        }
    }

    /// Bytes of all values but the key.
    private static let fixedBytes = 41

    package var pair: HistoryPair { HistoryPair(sequence: sequence, tag: tag) }

    /// The columns of a row of the change log that ``init(_:)`` reads, with binary results.
    ///
    /// - Parameter alias: what the statement calls the row.
    package static func columns(of alias: String) -> String {
        ["seq", "op", "version", "source_change_id", "content_hash", "ts", "key"]
            .map { "\(alias).\($0)" }.joined(separator: ", ")
    }

    /// Reads ``columns(of:)``; nil where the join found no row.
    package static func read(
        _ columns: inout RowColumns
    ) throws(PostgresError) -> TaggedChange? {
        guard let sequence = try columns.next(Int64?.self) else {
            for _ in 1..<columnCount { try columns.skip() }
            return nil
        }
        return TaggedChange(
            sequence: sequence, operation: try columns.next(UInt8.self),
            version: try columns.next(Int64.self), changeID: try columns.next(Int64.self),
            contentHash: try columns.next(Int64.self),
            microsecondsSince2000: try columns.next(PostgresTime.self).microsecondsSince2000,
            key: try columns.next([UInt8].self))
    }

    private static let columnCount = 7
}

/// One change of a user's log, by its sequence: what its tag covers.
package struct ReadTaggedChange: TypedStatement {
    package static let statement = Statement(
        name: "history_read_change",
        sql: """
            SELECT \(TaggedChange.columns(of: "l")) FROM sync.change_log l
            WHERE l.scope_id = $1 AND l.seq = $3 AND \(NamedScope.isUsers)
            """,
        parameters: [.int8, .text, .int8], results: .binary)

    package let scope: NamedScope
    package let sequence: Sequence64

    package init(scope: NamedScope, sequence: Sequence64) {
        self.scope = scope
        self.sequence = sequence
    }

    package func bind(to bindings: inout Bindings) {
        scope.bind(to: &bindings)
        bindings.bind(sequence)
    }

    package static func row(_ columns: inout RowColumns) throws(PostgresError) -> TaggedChange {
        guard let change = try TaggedChange.read(&columns) else {
            throw PostgresError(.decoding("a change without a sequence"))
        }
        return change
    }
}
