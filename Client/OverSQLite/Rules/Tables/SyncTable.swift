/// A table the app wants in step with the server.
public struct SyncTable: Sendable {
    /// What the key column holds, which decides how keys travel.
    public enum KeyKind: Sendable, Hashable {
        /// A UUID: text in any spelling, or a BLOB of 16 bytes when the column is declared BLOB.
        case uuid
        /// Any text, sent as it is; at most 512 bytes of UTF-8.
        case text
    }

    /// The table's name in SQLite.
    public var name: String
    /// The column that names a row everywhere; nil means the table's only primary key column.
    public var keyColumn: String?
    /// What the key column holds.
    public var keyKind: KeyKind
    /// How to settle a conflict in this table; nil means the configuration's default.
    public var conflictPolicy: ConflictPolicy?

    /// - Parameters:
    ///   - name: the table's name in SQLite; on the wire it is lower-cased.
    ///   - keyColumn: a column that is unique by itself; nil takes the primary key.
    ///   - keyKind: what the key column holds.
    ///   - conflictPolicy: nil takes the configuration's.
    public init(
        _ name: String, keyColumn: String? = nil, keyKind: KeyKind = .uuid,
        conflictPolicy: ConflictPolicy? = nil
    ) {
        self.name = name
        self.keyColumn = keyColumn
        self.keyKind = keyKind
        self.conflictPolicy = conflictPolicy
    }
}
