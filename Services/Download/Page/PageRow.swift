import Model
import Postgres

/// A row of `DownloadStatements.ReadPage` or `ReadLargeRows`, each of its values read once.
///
/// Its bytes lie in the result's memory: the `Rows` it came from must be kept alive with it.
struct PageRow {
    let sequence: Sequence64
    let origin: RowOrigin
    let storedKey: UnsafeRawBufferPointer
    /// JSON; nil for a delete, and where the statement left it out.
    let payload: UnsafeRawBufferPointer?
    let version: RowVersion
    let changeID: ChangeID
    let microsecondsSince2000: Int64

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

/// What a row did, in which table, and which device it came from: one number in the answer of a
/// page's statement.
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
