extension PageApplier {
    /// Tries held rows again.
    mutating func retryHeld() throws {
        // Deletes come last, so that rows can leave their parents first.
        let entries = try held.next()
        for entry in entries.filter({ $0.row.payload != nil })
            + entries.filter({ $0.row.payload == nil })
        {
            guard let table = catalog.table(id: entry.tableID) else { continue }
            if holdBack.contains(TableKey(tableID: table.id, key: entry.key)) { continue }
            let known = try tables.known.find(table, entry.key)
            if let known, known.row.version >= entry.row.version,
                !entry.isStored(of: known.row)
            {
                try held.release(table, entry.key)
                continue
            }
            // A pending row meets the server's version when it is sent.
            if try queue.row(table, entry.key) != nil { continue }
            let local = known.map {
                table.keyForm.spelled($0.spelling, for: entry.key)
            }
            if entry.row.payload == nil, try hasUpdatesWaiting(below: local, table) { continue }
            guard try held.take(entry, table, local: local, tables) else { continue }
            summary.applied += 1
            let name = TableKey(tableID: table.id, key: entry.key)
            if entry.row.payload == nil {
                retried.deletes.insert(name)
            } else {
                retried.upserts.insert(name)
            }
        }
    }
}
