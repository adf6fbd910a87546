/// Something about the app's set-up that sync can live with and that somebody should change.
///
/// The current ones are in ``SyncStatus/notices``.
public struct SyncNotice: Sendable, Hashable, CustomStringConvertible {
    /// What a notice is about. Later versions may have more kinds.
    public struct Kind: Sendable, Hashable, RawRepresentable {
        /// The kind's name, for logs.
        public let rawValue: String

        /// Makes a kind of this name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The database file is not in WAL mode, so readers and the engine block each other.
        public static let journalMode = Kind(rawValue: "journal_mode")
        /// The database has no busy timeout, so another process's write makes writes fail.
        public static let busyTimeout = Kind(rawValue: "busy_timeout")
        /// The database file is a copy of another one. The engine has taken a new device name.
        public static let copiedDatabase = Kind(rawValue: "copied_database")
        /// The database file is a copy, and the token still names the original's device.
        public static let sharedDeviceID = Kind(rawValue: "shared_device_id")
        /// The server has none of the engine's tables in the configured schema.
        public static let unknownSchema = Kind(rawValue: "unknown_schema")
        /// The server does not serve a table, or not to this user.
        public static let unservedTable = Kind(rawValue: "unserved_table")
        /// A column cannot hold every value of the server's type, or not as the server has it. What
        /// comes is kept and goes back as it came until the app edits the column.
        public static let columnType = Kind(rawValue: "column_type")
        /// The device's clock differs from the server's.
        public static let clock = Kind(rawValue: "clock")
        /// A table numbers its rows in addition to its key, so the numbers of two devices clash.
        public static let rowNumbers = Kind(rawValue: "row_numbers")
        /// A unique index treats values as equal that the server tells apart.
        public static let looseUnique = Kind(rawValue: "loose_unique")
        /// A trigger of the app's has given a row of the server's another value, so this device
        /// shows another one than the server has.
        public static let alteredRow = Kind(rawValue: "altered_row")
        /// A migration dropped a table, and foreign keys deleted the rows that referred to it.
        public static let droppedParent = Kind(rawValue: "dropped_parent")
    }

    /// What the notice is about.
    public let kind: Kind
    /// The table, or the table and column; nil if the notice is about neither.
    public let subject: String?
    /// What is wrong, for the app's developers.
    public let message: String
    /// What to change.
    public let advice: String

    init(_ kind: Kind, of subject: String? = nil, _ message: String, advice: String) {
        self.kind = kind
        self.subject = subject
        self.message = message
        self.advice = advice
    }

    /// Two installations that the server cannot tell apart.
    static func sharedDevice(_ name: String) -> SyncNotice {
        SyncNotice(
            .sharedDeviceID, of: name,
            "this database is a copy, and the token names the original's device, so the two "
                + "installations skip each other's changes",
            advice: "sign in again with a token for engine.deviceID, or call keepDeviceID() if the "
                + "original is gone"
        )
    }

    /// Everything, for logs.
    public var description: String {
        "\(kind.rawValue): \(subject.map { $0 + ": " } ?? "")\(message): \(advice)"
    }
}
