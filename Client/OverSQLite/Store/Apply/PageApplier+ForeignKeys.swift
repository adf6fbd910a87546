import GRDB

/// Finds the rows that cannot be written yet because their parents are missing.
extension PageApplier {
    /// The changes of these pages to leave out so that every remaining row has its parents: rows
    /// whose parent is missing, or deletes of parents whose children are still here.
    func openRows(in pages: [DownloadPage]) throws -> HoldBack {
        var open: HoldBack = []
        var bereft: Set<String> = []
        // The check covers tables that are not synced too: their rows also prevent a parent's
        // delete.
        let violations = try Row.fetchAll(
            db,
            sql: """
                SELECT DISTINCT lower("table") AS child, lower("parent") AS parent, fkid
                FROM pragma_foreign_key_check
                """)
        for violation in violations {
            bereft.insert(violation["parent"])
            let child: String = violation["child"]
            guard let table = catalog.tables.first(where: { $0.name.lowercased() == child }) else {
                continue
            }
            for local in try orphans(of: table, foreignKey: violation["fkid"]) {
                guard let key = table.keyForm.key(fromLocal: local) else { continue }
                open.insert(TableKey(tableID: table.id, key: key))
            }
        }
        return changed(in: pages, among: open, parentsOf: bereft)
    }

    /// The keys of rows whose parent is missing. The check's rowid is not used: a table may have no
    /// rowid, or a column of that name.
    private func orphans(of table: TableSchema, foreignKey: Int) throws -> [DatabaseValue] {
        let pairs = try Row.fetchAll(
            db,
            sql: """
                SELECT "table" AS parent, "from" AS child_column, coalesce("to", (
                  SELECT name FROM pragma_table_info(k."table") WHERE pk = k.seq + 1)) AS parent_column
                FROM pragma_foreign_key_list(?) AS k WHERE id = ? ORDER BY seq
                """, arguments: [table.name, foreignKey])
        guard let parent = pairs.first?["parent"] as String? else { return [] }
        func quoted(_ pair: Row, _ name: String) -> String {
            ((pair[name] as String?) ?? "").quotedIdentifier
        }
        let isSet = pairs.map { "c.\(quoted($0, "child_column")) IS NOT NULL" }
        let isParent = pairs.map {
            "p.\(quoted($0, "parent_column")) = c.\(quoted($0, "child_column"))"
        }
        return try DatabaseValue.fetchAll(
            db,
            sql: """
                SELECT c.\(table.quotedKey) FROM \(table.quotedName) AS c
                WHERE \(isSet.joined(separator: " AND ")) AND NOT EXISTS (
                  SELECT 1 FROM \(parent.quotedIdentifier) AS p
                  WHERE \(isParent.joined(separator: " AND ")))
                """)
    }

    /// Those of the open rows that this transaction wrote, from a page or from the held rows. If
    /// there are none, the transaction deleted the parents, and those deletes must wait.
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
