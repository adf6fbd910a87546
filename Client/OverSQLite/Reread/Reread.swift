import GRDB

/// The second reading of a feed, beside the rows that are here: nothing is emptied, the app goes on working,
/// and its edits stay. `_sync_unseen` holds the rows that the feed has not shown yet.
///
/// After `historyPruned` a row that the feed does not show was deleted on the server. After `newHistory` it, or its
/// newest version, was lost there, although it had been confirmed: it is sent again (promise P7).
struct Reread {
    let db: Database
    let catalog: Catalog
    let reason: RereadReason

    /// What to do with a change of the feed.
    enum Meeting: Hashable {
        /// As in any reading.
        case usual
        /// The histories met at this version: whether they say the same must be looked at.
        case compare
    }

    /// The reading that is under way; nil if none is.
    static func current(_ db: Database, _ catalog: Catalog, _ state: DeviceState) -> Reread? {
        state.reread.map { Reread(db: db, catalog: catalog, reason: $0) }
    }

    /// Begins at the feed's start. A second beginning starts over; a lost history stays the reason.
    ///
    /// - Parameter epoch: of the server's history; nil leaves what was known.
    func begin(epoch: String?) throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_unseen;
                INSERT INTO _sync_unseen (tbl, key) SELECT tbl, key FROM _sync_rows;
                DELETE FROM _sync_held;
                UPDATE _sync_state SET cursor = 0, window = 0, hydrated = 0;
                """)
        if reason == .newHistory { try AbsentTables(db: db).noteNewHistory() }
        try db.execute(
            sql: """
                UPDATE _sync_state SET epoch = coalesce(:epoch, epoch),
                  reread = CASE WHEN reread = :lost THEN reread ELSE :reason END
                """,
            arguments: [
                "epoch": epoch, "lost": RereadReason.newHistory.rawValue, "reason": reason.rawValue,
            ])
    }

    /// Notes that the feed has shown a row in some version.
    func meet(
        _ change: RemoteChange, _ table: TableSchema, _ key: RowKey, known: KnownRow?
    ) throws -> Meeting {
        guard let known else { return .usual }
        if reason == .newHistory, change.version < known.version {
            try db.cachedStatement(
                sql: "UPDATE _sync_unseen SET seen = ?, gone = ? WHERE tbl = ? AND key = ?"
            ).execute(arguments: [change.version, change.isDelete, table.id, key.wire])
            return .usual
        }
        try db.cachedStatement(sql: "DELETE FROM _sync_unseen WHERE tbl = ? AND key = ?")
            .execute(arguments: [table.id, key.wire])
        return reason == .newHistory && change.version == known.version ? .compare : .usual
    }

    /// Deals with the rows that the feed has not shown. Runs under apply mode, in the transaction of the last page.
    func finish(_ tables: TableWriters) throws -> RereadReport {
        let report =
            switch reason {
            case .newHistory:
                RereadReport(reason: reason, resentRows: try resend(), removedRows: 0)
            case .historyPruned, .deviceRestored:
                RereadReport(reason: reason, resentRows: 0, removedRows: try remove(tables))
            }
        try db.execute(sql: "DELETE FROM _sync_unseen; UPDATE _sync_state SET reread = NULL")
        return report
    }

    /// Puts the rows on what the server has of them, and into the log of touches as if the app had edited them;
    /// parents first, as they must be sent.
    private func resend() throws -> Int {
        var resent = 0
        for table in ranked {
            try db.execute(
                sql: """
                    INSERT INTO _sync_log (tbl, key)
                    SELECT u.tbl, coalesce(r.local, r.key) FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                    WHERE u.tbl = ? AND (u.seen IS NOT NULL OR r.deleted = 0)
                    """, arguments: [table.id])
            resent += db.changesCount
            try db.execute(
                sql: """
                    UPDATE _sync_pending SET base = coalesce(u.seen, 0) FROM _sync_unseen u
                    WHERE u.tbl = :id AND _sync_pending.tbl = u.tbl AND _sync_pending.key = u.key;
                    UPDATE _sync_rows SET version = u.seen, deleted = u.gone FROM _sync_unseen u
                    WHERE u.tbl = :id AND u.seen IS NOT NULL
                      AND _sync_rows.tbl = u.tbl AND _sync_rows.key = u.key;
                    DELETE FROM _sync_rows WHERE (tbl, key) IN (
                      SELECT tbl, key FROM _sync_unseen WHERE tbl = :id AND seen IS NULL);
                    """, arguments: ["id": table.id])
        }
        return resent
    }

    /// Deletes the rows, children first. Rows with edits of their own stay: sent, they meet the server's delete.
    /// A row that others here still need is created there again.
    private func remove(_ tables: TableWriters) throws -> Int {
        var removed = 0
        for table in ranked.reversed() {
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT r.key, r.local, r.deleted FROM _sync_unseen u JOIN _sync_rows r USING (tbl, key)
                    WHERE u.tbl = ? AND NOT EXISTS (
                      SELECT 1 FROM _sync_pending p WHERE p.tbl = u.tbl AND p.key = u.key)
                    """, arguments: [table.id])
            for row in rows where !(row["deleted"] as Bool) {
                let key = RowKey(wire: row["key"])
                let spelled: DatabaseValue = row["local"]
                let local = spelled.isNull ? table.keyForm.local(key) : spelled
                // Forgotten first, so that the delete trigger's touch is not taken for the app's.
                try tables.known.forget(table, key)
                if try delete(local, table, tables) { removed += 1 }
            }
            try forgetEdited(table)
        }
        return removed
    }

    /// Should such an edit be given up, the row is to go: the server has it no more.
    private func forgetEdited(_ table: TableSchema) throws {
        try db.execute(
            sql: """
                DELETE FROM _sync_rows WHERE tbl = ? AND deleted = 0
                  AND (tbl, key) IN (SELECT tbl, key FROM _sync_unseen)
                  AND (tbl, key) IN (SELECT tbl, key FROM _sync_pending)
                """, arguments: [table.id])
    }

    private func delete(
        _ local: DatabaseValue, _ table: TableSchema, _ tables: TableWriters
    ) throws -> Bool {
        let wasOpen = PageApplier.hasOpenForeignKeys(db)
        var isGone = false
        do {
            try db.inSavepoint {
                try tables.writer(table).delete(local: local)
                // Constraints are deferred while pages are applied: a child that stays shows only here.
                isGone = wasOpen || !PageApplier.hasOpenForeignKeys(db)
                return isGone ? .commit : .rollback
            }
        } catch let error as DatabaseError
            where error.resultCode.primaryResultCode == .SQLITE_CONSTRAINT
        {
            isGone = false
        }
        if isGone {
            tables.noteChange(in: table)
        } else {
            try db.cachedStatement(sql: "INSERT INTO _sync_log (tbl, key) VALUES (?, ?)")
                .execute(arguments: [table.id, local])
        }
        return isGone
    }

    /// Parents before children.
    private var ranked: [TableSchema] {
        catalog.tables.sorted { catalog.rank(ofTable: $0.id) < catalog.rank(ofTable: $1.id) }
    }
}
