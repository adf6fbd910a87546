import GRDB

/// Notices that a migration has dropped a table while foreign keys were on: SQLite then deletes the
/// rows of tables that refer to it, as if the app had.
struct DroppedParents {
    let db: Database

    /// - Parameter table: a table that was rebuilt.
    func notices(of table: TableSchema) throws -> [SyncNotice] {
        guard try !isEmpty(table.name, where: "1") else { return [] }
        var notices: [SyncNotice] = []
        for referrer in table.referrers where referrer.cascades {
            guard referrer.table.lowercased() != table.wireName,
                let id = try SyncedTables(db: db).entry(named: referrer.table)?.id,
                try isEmpty(referrer.table, where: isSet(referrer))
            else { continue }
            let count = try deletes(ofTable: id)
            if count == 0 { continue }
            notices.append(
                SyncNotice(
                    .droppedParent, of: referrer.table,
                    "\(count) rows were deleted since the last sync, all that referred to "
                        + "\(table.name), which a migration has dropped and made anew: the "
                        + "deletions will be sent",
                    advice: "if nobody meant to delete them, rebuild tables with PRAGMA "
                        + "foreign_keys = OFF, as GRDB's DatabaseMigrator does unless its "
                        + "foreignKeyChecks are .immediate"))
        }
        return notices
    }

    private func isSet(_ referrer: Referrer) -> String {
        referrer.columns.map { "\($0.quotedIdentifier) IS NOT NULL" }.joined(separator: " AND ")
    }

    private func isEmpty(_ table: String, where condition: String) throws -> Bool {
        try Int.fetchOne(
            db, sql: "SELECT 1 FROM \(table.quotedIdentifier) WHERE \(condition) LIMIT 1") == nil
    }

    /// Rows of a table that the app has touched since the last sync, with what they were before.
    /// All of them are gone.
    private func deletes(ofTable id: Int64) throws -> Int {
        try Int.fetchOne(
            db,
            sql: """
                SELECT count(DISTINCT key) FROM _sync_log
                WHERE tbl = ? AND kind IN \(Touch.Kind.editsSQL)
                  AND seq > (SELECT folded FROM _sync_state)
                """, arguments: [id]) ?? 0
    }
}
