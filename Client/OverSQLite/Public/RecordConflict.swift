public import GRDB

/// A conflict put before the app, with the rows as its own records; see
/// ``ConflictPolicy/resolver(_:_:)``.
public struct RecordConflict<Record: FetchableRecord & EncodableRecord> {
    /// The table's name in SQLite.
    public let table: String
    /// The key as this device's row spells it.
    public let key: DatabaseValue
    /// The row both sides started from; nil if it is not known, as after two inserts of one key.
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

    /// The row with the columns of both sides, as ``Conflict/merged(clash:)`` has it; nil where a
    /// side has deleted it.
    ///
    /// - Throws: the record's error if it cannot be made from the row.
    public func merged(clash: ConflictSide = .client) throws -> Record? {
        try conflict.merged(clash: clash).map { try Record(row: Row($0)) }
    }
}

extension RecordConflict: Sendable where Record: Sendable {}

extension ConflictPolicy {
    /// The app decides, over records of its own.
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
    ///   - type: made from the table's rows by column name; it need not have every column.
    ///   - resolve: decides. If it throws, or a record cannot be made, this one row is set aside as
    ///     rejected,
    ///     with the error as its reason.
    public static func resolver<Record: FetchableRecord & EncodableRecord>(
        _ type: Record.Type,
        _ resolve: @escaping @Sendable (RecordConflict<Record>) throws -> ConflictResolution
    ) -> ConflictPolicy {
        .resolver { conflict in try resolve(RecordConflict(conflict)) }
    }
}

extension ConflictResolution {
    /// Write and send this record; columns it does not have keep the server's value, and the key
    /// stays as it is.
    ///
    /// - Throws: the record's error if it cannot be encoded.
    public static func row(_ record: some EncodableRecord) throws -> ConflictResolution {
        .merged(try record.databaseDictionary)
    }
}
