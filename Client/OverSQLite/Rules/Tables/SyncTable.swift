/// A table to sync.
public struct SyncTable: Sendable {
    /// The kind of key, which decides how keys are sent.
    public enum KeyKind: Sendable, Hashable {
        /// A UUID: text in any spelling, or a BLOB of 16 bytes if the column is declared BLOB.
        case uuid
        /// Any text, sent as it is: 1 to 512 bytes of UTF-8.
        case text
        /// A whole number of 64 bits, in a column that is declared INTEGER, for tables that the
        /// server numbers (`bigint` with `GENERATED … AS IDENTITY`, for example). The server takes
        /// what its column's type can hold.
        ///
        /// The app chooses the key of each row that it inserts: in an `INTEGER PRIMARY KEY`, an
        /// insert without a key fails. SQLite would take the next free number of this device, which
        /// another device takes too, for another row. For the same reason an insert of -1 fails
        /// there, which SQLite does not tell from one without a key. ``SyncTable/leasesKeys`` gets
        /// the app numbers that nobody else takes.
        case integer
    }

    /// The table's name in SQLite.
    public var name: String
    /// The column that identifies a row on all devices; nil means the single primary key column.
    public var keyColumn: String?
    /// The kind of key in the key column.
    public var keyKind: KeyKind
    /// How to resolve conflicts in this table; nil uses the configuration's policy.
    public var conflictPolicy: ConflictPolicy?
    /// Columns that hold keys of synced tables without a `REFERENCES` clause: the table's name by
    /// the column's name.
    ///
    /// The engine spells a UUID in such a column the way this device spells the key that it names,
    /// so that the app's joins find the row. It knows this by itself of columns with a foreign
    /// key. An index on the column makes it cheap.
    public var references: [String: String] = [:]

    /// Columns that stay on this device: they are neither sent nor written by sync, whether the
    /// server has a column of the name or not. A write of these columns alone is no edit. A row
    /// from the server takes their defaults, so each is nullable or has a default.
    public var localColumns: Set<String> = []

    /// Whether the device leases numbers for rows that it creates, from the sequence that the
    /// server takes this table's keys from. `nextSyncKey(for:)` on a GRDB `Database` gives them
    /// out. Only for keys of the kind ``KeyKind/integer``.
    public var leasesKeys = false

    /// Describes a table to sync.
    ///
    /// - Parameters:
    ///   - name: the table's name in SQLite. On the wire it is in lower case.
    ///   - keyColumn: a column that is unique by itself. The default, nil, takes the single primary
    ///     key column.
    ///   - keyKind: the kind of key in the key column.
    ///   - conflictPolicy: how to resolve conflicts; nil uses the configuration's policy.
    ///   - references: columns that hold keys of synced tables and have no `REFERENCES` clause:
    ///     the table's name by the column's name.
    ///   - localColumns: columns that stay on this device.
    ///   - leasesKeys: whether the device leases numbers for rows that it creates.
    public init(
        _ name: String, keyColumn: String? = nil, keyKind: KeyKind = .uuid,
        conflictPolicy: ConflictPolicy? = nil, references: [String: String] = [:],
        localColumns: Set<String> = [], leasesKeys: Bool = false
    ) {
        self.name = name
        self.keyColumn = keyColumn
        self.keyKind = keyKind
        self.conflictPolicy = conflictPolicy
        self.references = references
        self.localColumns = localColumns
        self.leasesKeys = leasesKeys
    }
}
