import Model
import Postgres

/// A row of `DownloadStatements.readPage` or `readLargeRows`, each of its values read once.
///
/// Its bytes lie in the result's memory, which must be kept alive beside it.
struct PageRow {
    private enum Column {
        static let sequence = 0
        static let table = 1
        static let operation = 2
        static let key = 3
        static let payload = 4
        static let version = 5
        static let source = 6
        static let changeID = 7
        static let timestamp = 8
    }

    let sequence: Sequence64
    let table: TableID
    let operation: Operation
    /// As the sidecar keeps it.
    let key: UnsafeRawBufferPointer
    /// JSON; nil for a delete, and where the statement left it out.
    let payload: UnsafeRawBufferPointer?
    let version: RowVersion
    /// The number of the device that it came from.
    let source: Int32
    let changeID: ChangeID
    let microsecondsSince2000: Int64

    /// - Throws: `PostgresError` when the statement answered anything else.
    init(_ result: PostgresResult, _ row: Int) throws {
        sequence = try result.int64(row, Column.sequence)
        table = try result.int16(row, Column.table)
        operation = Operation(letter: try result.char(row, Column.operation)) ?? .update
        guard let key = result.unsafeBytes(row, Column.key) else {
            throw PostgresError(.decoding("a change without a key"))
        }
        self.key = key
        payload = operation == .delete ? nil : result.unsafeBytes(row, Column.payload)
        version = try result.int64(row, Column.version)
        source = try result.int32(row, Column.source)
        changeID = try result.int64(row, Column.changeID)
        microsecondsSince2000 = try result.microsecondsSince2000(row, Column.timestamp)
    }

    /// Its payload is too large to come with others, or for devices at all.
    var isWithoutPayload: Bool { payload == nil && operation != .delete }
}
