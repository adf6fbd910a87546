/// A row of the server that this device has downloaded and cannot show yet.
///
/// It is tried again with every download, and nothing of it is lost. See ``SyncEngine/heldRows``.
public struct HeldRow: Sendable, Hashable {
    /// Why a row is held.
    public enum Cause: String, Sendable, Hashable {
        /// The row that it refers to is not on this device.
        case missingParent = "missing_parent"
        /// The row was deleted on the server, and rows of this device still refer to it.
        case stillReferredTo = "still_referred_to"
        /// A constraint of this database refuses the row.
        case constraint
        /// The key or a value does not fit its column.
        case unreadable
        /// An edit of this row was sent and is not answered.
        case unanswered
        /// The app's resolver failed.
        case unresolved
    }

    /// A row that another row refers to.
    public struct Parent: Sendable, Hashable {
        /// The table's name in SQLite.
        public let table: String
        /// The key as on the wire: a lower-case UUID with dashes, or the text key.
        public let key: String
    }

    /// The table's name in SQLite.
    public let table: String
    /// The key as on the wire: a lower-case UUID with dashes, or the text key.
    public let key: String
    /// Whether the server has deleted the row.
    public let isDeletion: Bool
    /// Why it is held.
    public let cause: Cause
    /// The cause in words, for logs: for a constraint, SQLite's message.
    public let reason: String
    /// The row that is missing; nil unless the cause is ``Cause/missingParent`` and the missing row
    /// belongs to a synced table.
    public let missing: Parent?

    /// What would help, in a sentence for the app's developers.
    public var advice: String {
        switch cause {
        case .missingParent:
            missing.map {
                "the row \($0.key) of \($0.table) is needed: check whether the server has it, and "
                    + "whether this user may read it"
            }
                ?? "its foreign keys need rows that no synced table has: sync their tables, too"
        case .stillReferredTo:
            "delete the rows that refer to it, or declare the foreign key ON DELETE CASCADE or SET "
                + "NULL"
        case .constraint:
            "another row here has the value, or the value breaks a CHECK or NOT NULL: change that "
                + "row, or drop the constraint on the device, as the server judges it"
        case .unreadable: "declare the column so that it can hold the server's values"
        case .unanswered: "nothing: the next upload finds out"
        case .unresolved: "correct the resolver; retry(_:) asks it again"
        }
    }
}
