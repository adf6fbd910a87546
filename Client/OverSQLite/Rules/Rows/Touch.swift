import GRDB

/// An entry of `_sync_log`: a row that the app has touched.
struct Touch {
    enum Kind: Int {
        /// The app wrote the row. Triggers of older versions give deletions this kind, too.
        case app = 0
        /// The row was deleted while server rows were applied, by the server's own delete or by its
        /// cascade.
        case duringApply = 1
        /// A statement may have replaced the row. If the row still exists, it did not.
        case maybeReplaced = 2
        /// A migration of the app deleted the row on this device only.
        case local = 3
        /// The app deleted the row or gave it another key.
        case deleted = 4

        /// The kinds of the app's own edits. They differ only in a table that was rebuilt: a row
        /// missing there was either deleted or not copied.
        static let edits = [Kind.app, .deleted]
        /// As a list for SQL.
        static var editsSQL: String {
            "(\(edits.map { String($0.rawValue) }.joined(separator: ", ")))"
        }

        var isEdit: Bool { Self.edits.contains(self) }
    }

    let sequence: Int64
    let kind: Kind
    let tableID: Int64
    /// The key as the row spells it.
    let local: DatabaseValue
    /// The row before the write, if the trigger recorded it.
    let image: String?
}

/// What a change does to a row, as named on the wire.
enum CapturedOperation: String, DatabaseValueConvertible {
    case insert = "INSERT"
    case update = "UPDATE"
    case delete = "DELETE"
}

extension CapturedOperation {
    /// The operation that sends this edit once the server has applied `change`.
    func onTop(of change: SentChange) -> CapturedOperation {
        if self == .delete { return .delete }
        return change.operation == .delete ? .insert : .update
    }
}

/// A row whose edits the server has not confirmed.
struct PendingRow {
    /// The place in the queue: the number of the first touch.
    let sequence: Int64
    let tableID: Int64
    let key: DeviceRowKey
    /// The key as the row spells it.
    let local: DatabaseValue
    var operation: CapturedOperation
    /// The base version; 0 for a row that the server does not have.
    var base: Int64
    var image: String?
    var sentImage: String?
    /// The number of the last touch.
    var revision: Int64
    var reason: String?
    var attempts: Int

    init(
        sequence: Int64, tableID: Int64, key: DeviceRowKey, local: DatabaseValue,
        operation: CapturedOperation,
        base: Int64, image: String? = nil, revision: Int64
    ) {
        self.sequence = sequence
        self.tableID = tableID
        self.key = key
        self.local = local
        self.operation = operation
        self.base = base
        self.image = image
        self.revision = revision
        attempts = 0
    }
}

extension PendingRow {
    /// Whether the row was already rejected for the same reason, so that the rejection is not news.
    func wasRejected(for rejection: Rejection) -> Bool {
        attempts > 0 && reason == rejection.reason
    }
}

/// What this device knows about a row on the server.
struct KnownRow: Hashable {
    let version: Int64
    let isDeleted: Bool
}
