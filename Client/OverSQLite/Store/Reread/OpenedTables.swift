import GRDB

/// Reads tables that were opened, or whose rows went with those of a closed table.
///
/// On a device that has read the log, they alone are read again, up to where the others are: the
/// cursor goes back to the log's start and returns. If the log is already being read from its
/// start, that reading starts over.
struct OpenedTables {
    /// The most tables that one request names; for more of them, all tables are read.
    static let mostNamed = 100

    let db: Database

    /// Starts to read tables.
    ///
    /// - Parameters:
    ///   - tables: the tables, which are open or closed.
    ///   - now: seconds since 1970. Edits that were rejected because the table was closed are due.
    func begin(_ tables: [TableSchema], now: Double) throws {
        if tables.isEmpty { return }
        let synced = SyncedTables(db: db)
        var (metOldHistory, rowsStayed) = (false, false)
        for table in tables {
            let access = try synced.access(of: table.id)
            metOldHistory = metOldHistory || access == .closedSinceOldHistory
            rowsStayed = try rowsStayed || access == .closed && hasUnedited(table)
            try synced.setAccess(.opening, of: table.id)
            try PendingQueue(db: db).makeForbiddenDue(in: table, at: now)
        }
        if metOldHistory || rowsStayed {
            // Edits that are kept may be based on versions that the server has lost. Rows that are
            // kept may have been deleted there, and their deletions compacted.
            return try Reread(
                db: db, catalog: DeviceCatalog([]),
                reason: metOldHistory ? .newHistory : .historyPruned
            ).begin(epoch: nil)
        }
        try DeviceStateTable(db: db).beginOpening()
    }

    /// Whether rows of the table are here that no edit of theirs holds: others refer to them.
    private func hasUnedited(_ table: TableSchema) throws -> Bool {
        try Int.fetchOne(
            db,
            sql: """
                SELECT 1 FROM _sync_rows r WHERE r.tbl = ? AND r.deleted = 0
                  AND NOT EXISTS (
                    SELECT 1 FROM _sync_pending p WHERE p.tbl = r.tbl AND p.key = r.key)
                LIMIT 1
                """, arguments: [table.id]) != nil
    }

    /// Ends the reading if all of its tables are closed.
    func endIfNone() throws {
        if try SyncedTables(db: db).opening().isEmpty {
            try DeviceStateTable(db: db).endOpening()
        }
    }

    /// The names by which the next page is asked for; nil asks for all tables.
    func names(_ catalog: DeviceCatalog, _ state: DeviceState) throws -> [String]? {
        guard state.resumeAt > 0 else { return nil }
        let opening = try SyncedTables(db: db).opening()
        let names = catalog.tables.filter { opening.contains($0.id) }.map(\.wireName)
        return (1...Self.mostNamed).contains(names.count) ? names.sorted() : nil
    }
}
