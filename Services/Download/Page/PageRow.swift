import Model
import Postgres

/// A row of `DownloadStatements.readPage` or `readLargeRows`, each of its values read once.
///
/// Its bytes lie in the result's memory, which must be kept alive beside it.
struct PageRow {
    private enum Column {
        static let sequence = 0
        static let origin = 1
        static let key = 2
        static let payload = 3
        static let version = 4
        static let changeID = 5
        static let timestamp = 6
    }

    let sequence: Sequence64
    let origin: RowOrigin
    private let storedKey: UnsafeRawBufferPointer
    /// JSON; nil for a delete, and where the statement left it out.
    let payload: UnsafeRawBufferPointer?
    let version: RowVersion
    let changeID: ChangeID
    let microsecondsSince2000: Int64

    /// - Throws: `PostgresError` when a value has another form.
    init(_ result: PostgresResult, _ row: Int) throws {
        sequence = try result.int64(row, Column.sequence)
        origin = try RowOrigin(packed: try result.int64(row, Column.origin))
        guard let key = result.unsafeBytes(row, Column.key) else {
            throw PostgresError(.decoding("a change without a key"))
        }
        storedKey = key
        payload =
            origin.operation == .delete ? nil : result.unsafeBytes(row, Column.payload)
        version = try result.int64(row, Column.version)
        changeID = try result.int64(row, Column.changeID)
        microsecondsSince2000 = try result.microsecondsSince2000(row, Column.timestamp)
    }

    /// - Throws: `PostgresError` when it is not a key of this kind, as SQL by hand can leave it.
    func key(_ kind: KeyKind) throws(PostgresError) -> RowKey {
        let key = storedKey.withMemoryRebound(to: UInt8.self) { RowKey(stored: $0, kind: kind) }
        guard let key else {
            throw PostgresError(.decoding("the key of change \(sequence): no \(kind.rawValue)"))
        }
        return key
    }

    /// Its payload is too large to come with others, or for devices at all.
    var isWithoutPayload: Bool { payload == nil && origin.operation != .delete }
}

/// What a row did, in which table, and which device it came from: one number in the answer of a page's statement.
struct RowOrigin: Hashable {
    /// Bits below the table's number: the operation's letter.
    static let tableShift = 8
    /// Bits below the device's number.
    static let sourceShift = 32

    /// The number, of a row `l` of the change log.
    static let expression = """
        (l.source_no::int8 << \(sourceShift)) | (l.table_id::int8 << \(tableShift)) | l.op::int4
        """

    let operation: Operation
    let table: TableID
    /// The device's number among the user's.
    let source: Int32

    /// - Throws: `PostgresError` for a letter that no operation has.
    init(packed: Int64) throws(PostgresError) {
        let letter = UInt8(truncatingIfNeeded: packed)
        guard let operation = Operation(letter: letter) else {
            throw PostgresError(.decoding("operation \(letter) of a change"))
        }
        self.operation = operation
        table = TableID(truncatingIfNeeded: packed >> Self.tableShift)
        source = Int32(truncatingIfNeeded: packed >> Self.sourceShift)
    }
}
