public import GRDB

/// A conflict for the app to resolve, with the rows as the app's own records. See
/// ``ConflictPolicy/resolver(_:_:)``.
public struct RecordConflict<Record: FetchableRecord & EncodableRecord> {
    /// The table's name in SQLite.
    public let table: String
    /// The row's key, spelled as in this device's row.
    public let key: DatabaseValue
    /// The row both sides started from; nil if it is unknown, for example after both sides inserted
    /// the same key.
    public let base: Record?
    /// The row on this device; nil if it was deleted here.
    public let local: Record?
    /// The row on the server; nil if it was deleted there.
    public let server: Record?

    private let conflict: Conflict

    /// - Throws: the record's error if it cannot be made from one of the rows.
    init(_ conflict: Conflict) throws {
        func record(_ values: [String: DatabaseValue]?) throws -> Record? {
            try values.map { try Record(row: Row($0)) }
        }
        table = conflict.table
        key = conflict.key
        base = try record(conflict.base)
        local = try record(conflict.local)
        server = try record(conflict.server)
        self.conflict = conflict
    }

    /// Merges both sides' edits by column, like ``Conflict/merged(clash:)``. Returns nil if one
    /// side deleted the row.
    ///
    /// - Parameter clash: the side whose value is used in a column that both sides changed.
    /// - Throws: the record's error if it cannot be made from the merged row.
    public func merged(clash: ConflictSide = .client) throws -> Record? {
        try conflict.merged(clash: clash).map { try Record(row: Row($0)) }
    }
}

extension RecordConflict: Sendable where Record: Sendable {}

extension ConflictPolicy {
    /// The app resolves each conflict, with its own record type.
    ///
    /// ```swift
    /// SyncTable("counters", conflictPolicy: .resolver(Counter.self) { conflict in
    ///     guard let local = conflict.local, let server = conflict.server,
    ///         var merged = try conflict.merged()
    ///     else { return .fieldwise() }
    ///     merged.value = server.value + local.value - (conflict.base?.value ?? 0)
    ///     return try .row(merged)
    /// })
    /// ```
    /// - Parameters:
    ///   - type: the record type. It is decoded from the table's columns by name and need not have
    ///     every column.
    ///   - resolve: returns the decision. If it throws, or if a record cannot be decoded, this one
    ///     change is rejected with the error as its message (reason `resolver_failed`).
    public static func resolver<Record: FetchableRecord & EncodableRecord>(
        _ type: Record.Type,
        _ resolve: @escaping @Sendable (RecordConflict<Record>) throws -> ConflictResolution
    ) -> ConflictPolicy {
        .resolver { conflict in try resolve(RecordConflict(conflict)) }
    }
}

extension ConflictResolution {
    /// Writes and sends this record. Columns that the record does not have keep the server's value,
    /// and the key stays as it is.
    ///
    /// - Throws: the record's error if it cannot be encoded.
    public static func row(_ record: some EncodableRecord) throws -> ConflictResolution {
        .merged(try record.databaseDictionary)
    }
}
