import GRDB
import GRDBSQLite

/// Which rows cannot stand yet because their parents are missing.
extension PageApplier {
    /// Whether a row applied so far refers to a parent that is not there. Constraints are deferred while
    /// pages are applied, and SQLite counts what is open, so this costs nothing.
    static func hasOpenForeignKeys(_ db: Database) -> Bool {
        var open: Int32 = 0
        var highest: Int32 = 0
        sqlite3_db_status(db.sqliteConnection, SQLITE_DBSTATUS_DEFERRED_FKS, &open, &highest, 0)
        return open != 0
    }

    /// The changes of these pages without which every row has its parents, for this step: rows whose
    /// parent is missing, and deletes of parents whose children are still here.
    func openRows(in pages: [DownloadPage]) throws -> HoldBack {
        var open: HoldBack = []
        var bereft: Set<String> = []
        for table in catalog.tables {
            let violations = try Row.fetchAll(
                db,
                sql: #"SELECT rowid, lower("parent") AS parent FROM pragma_foreign_key_check(?)"#,
                arguments: [table.name])
            for violation in violations {
                bereft.insert(violation["parent"])
                guard let rowid = violation["rowid"] as Int64? else { continue }
                let local = try DatabaseValue.fetchOne(
                    db, sql: "SELECT \(table.quotedKey) FROM \(table.quotedName) WHERE rowid = ?",
                    arguments: [rowid])
                if let key = local.flatMap(table.keyForm.key(fromLocal:)) {
                    open.insert(TableKey(tableID: table.id, key: key))
                }
            }
        }
        return changed(in: pages, among: open, parentsOf: bereft)
    }

    /// Of the open rows those that this transaction wrote, from a page or from those held before. If
    /// there are none, it took the parents away, and those deletes are what must wait.
    private func changed(
        in pages: [DownloadPage], among open: HoldBack, parentsOf bereft: Set<String>
    ) -> HoldBack {
        var children = retried.upserts.intersection(open)
        var parents = retried.deletes.filter { name in
            catalog.table(id: name.tableID).map { bereft.contains($0.wireName) } ?? false
        }
        for change in pages.lazy.flatMap(\.changes) {
            guard let table = catalog.table(wireName: change.table),
                let key = table.keyForm.key(fromWire: change.key)
            else { continue }
            let name = TableKey(tableID: table.id, key: key)
            if !change.isDelete, open.contains(name) { children.insert(name) }
            if change.isDelete, bereft.contains(table.wireName) { parents.insert(name) }
        }
        children.subtract(holdBack)
        return children.isEmpty ? parents.subtracting(holdBack) : children
    }
}
