import GRDB

/// Downloaded rows that this database cannot take yet, because of a missing parent, a constraint,
/// or a value that does not fit its column. They are tried again with every page and do not hold up
/// others.
struct HeldRows {
    /// The number of held rows to try again per transaction.
    static let retriesPerPage = 500

    static let name = "_sync_held"

    let db: Database

    struct Entry {
        let tableID: Int64
        let key: DeviceRowKey
        let row: RemoteRow
        let reason: String
        /// Whether this is what the server has stored of a version that the device wrote itself.
        let isStored: Bool

        /// Whether the row here still has to become what the server has stored of its version.
        func isStored(of known: KnownRow?) -> Bool {
            isStored && known == row.known
        }

        fileprivate init(_ row: MetadataRow) throws {
            tableID = try row.number("tbl")
            key = DeviceRowKey(wire: try row.text("key"))
            reason = try row.text("reason")
            isStored = try row.flag("is_stored")
            self.row = RemoteRow(
                version: try row.number("version"),
                payload: try row.textIfAny("payload").map { Array($0.utf8) },
                sourceID: nil, changeID: nil,
                term: try row.numberIfAny("term", in: KnownRows.terms))
        }
    }

    /// - Parameter isStored: whether this is what the server has stored of a version that the
    ///   device wrote itself. It does not replace a newer version.
    func hold(
        _ table: TableSchema, _ key: DeviceRowKey, _ row: RemoteRow,
        _ cause: HeldRow.Cause, _ reason: String, isStored: Bool = false
    ) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO _sync_held (tbl, key, version, payload, reason, cause, is_stored, term)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (tbl, key) DO UPDATE
                SET version = excluded.version, payload = excluded.payload,
                  term = excluded.term, reason = excluded.reason, cause = excluded.cause,
                  is_stored = excluded.is_stored
                WHERE NOT excluded.is_stored OR excluded.version >= _sync_held.version
                """
        ).execute(arguments: [
            table.id, key.wire, row.version,
            row.payload.map { String(decoding: $0, as: UTF8.self) }, reason, cause.rawValue,
            isStored, row.term,
        ])
    }

    /// Records what a held version adds to its table's digest.
    func setTerm(
        _ table: TableSchema, _ key: DeviceRowKey, version: Int64, _ term: Int64?
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE _sync_held SET term = ?
                WHERE tbl = ? AND key = ? AND version = ? AND payload IS NOT NULL
                """
        ).execute(arguments: [term, table.id, key.wire, version])
    }

    func release(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(sql: "DELETE FROM _sync_held WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
    }

    /// No longer holds what the server has stored of a version that the device wrote itself.
    func releaseStored(_ table: TableSchema, _ key: DeviceRowKey) throws {
        try db.cachedStatement(
            sql: "DELETE FROM _sync_held WHERE tbl = ? AND key = ? AND is_stored"
        ).execute(arguments: [table.id, key.wire])
    }

    /// Writes the row, unless the same or a newer version is here, and no longer holds it.
    ///
    /// - Parameter local: the key as the row spells it; nil if the row is not here.
    /// - Returns: false if this database still refuses the row.
    func take(
        _ entry: Entry, _ table: TableSchema, local: DatabaseValue?, _ tables: TableWriters
    ) throws -> Bool {
        let known = try tables.known.find(table, entry.key)
        if entry.isStored(of: known?.row), let local {
            let result = try StoredWrite(db: db, tables: tables).attempt(
                entry.row, table, entry.key, local: local)
            guard case .taken = result else { return false }
        }
        do {
            try db.inSavepoint {
                if !entry.isStored, known.map({ $0.row.version < entry.row.version }) ?? true {
                    try tables.write(entry.row, table, entry.key, local: local)
                }
                try release(table, entry.key)
                return .commit
            }
            return true
        } catch is RowFlaw {
            return false
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            return false
        }
    }

    func count() throws -> Int { try Int.fetchOne(db, sql: "SELECT count(*) FROM _sync_held") ?? 0 }

    func removeAll() throws { try db.execute(sql: "DELETE FROM _sync_held") }

    func removeAll(of table: TableSchema) throws {
        try db.execute(sql: "DELETE FROM _sync_held WHERE tbl = ?", arguments: [table.id])
    }

    /// Removes the rows that a reread of the same history brings again.
    func removeDownloaded() throws {
        try db.execute(sql: "DELETE FROM _sync_held WHERE NOT is_stored")
    }

    /// Some rows to try again. If there are too many for one transaction, the choice is random, so
    /// that rows that can be written now are not stuck behind rows that never can.
    func next() throws -> [Entry] {
        try MetadataRow.all(
            of: Self.name, db,
            sql: """
                SELECT tbl, key, version, payload, reason, is_stored, term FROM _sync_held
                WHERE (tbl, key) IN (
                    SELECT tbl, key FROM _sync_held ORDER BY random() LIMIT ?)
                ORDER BY tbl, key
                """,
            [Self.retriesPerPage]
        ).map(Entry.init)
    }

    /// Rows of a table that a constraint of this database refuses, by their keys.
    func refused(of table: TableSchema, limit: Int) throws -> [Entry] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT tbl, key, version, payload, reason, is_stored, term FROM _sync_held
                WHERE tbl = ? AND cause = ? AND payload IS NOT NULL ORDER BY key LIMIT ?
                """)
        return try MetadataRow.all(
            of: Self.name, statement, [table.id, HeldRow.Cause.constraint.rawValue, limit]
        ).map(Entry.init)
    }

    /// Explains better why a row is held.
    func explain(_ table: TableSchema, _ key: DeviceRowKey, _ reason: String) throws {
        try db.cachedStatement(sql: "UPDATE _sync_held SET reason = ? WHERE tbl = ? AND key = ?")
            .execute(arguments: [reason, table.id, key.wire])
    }

    func entry(_ table: TableSchema, _ key: DeviceRowKey) throws -> Entry? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT tbl, key, version, payload, reason, is_stored, term FROM _sync_held
                WHERE tbl = ? AND key = ?
                """)
        return try MetadataRow.first(of: Self.name, statement, [table.id, key.wire])
            .map(Entry.init)
    }
}
