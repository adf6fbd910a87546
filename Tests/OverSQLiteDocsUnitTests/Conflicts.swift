import GRDB
import OverSQLite

// Code of the articles "Conflicts" and "Designing tables".

enum Conflicts {
    // begin: policies
    static let tables = [
        // What each side changed is kept; of a column that both changed, the server's value.
        SyncTable("posts", conflictPolicy: .fieldwise(clash: .server, deletion: .editWins)),
        // A back end writes these; a device's edit never overrules it.
        SyncTable("prices", conflictPolicy: .serverWins),
        // Only this user's devices write these: the last one to send prevails.
        SyncTable("drafts", conflictPolicy: .clientWins),
    ]
    // end

    // begin: resolver
    struct Counter: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "counters"

        var id: String
        var name: String
        var value: Int
    }

    static let counters = SyncTable(
        "counters",
        conflictPolicy: .resolver(Counter.self) { conflict in
            guard let local = conflict.local, let server = conflict.server,
                var row = try conflict.merged()
            else { return .fieldwise() }
            row.value = server.value + local.value - (conflict.base?.value ?? 0)
            return try .row(row)
        })
    // end

    // begin: events
    static func tell(_ engine: SyncEngine, show: (String) -> Void) async {
        for await event in engine.events {
            switch event {
            case .conflict(let report) where !report.lost.isEmpty:
                let columns = report.columns.joined(separator: ", ")
                show("\(report.table) \(report.key): \(columns) changed elsewhere, too")
            case .conflict:
                break  // both sides' edits are in the row
            case .rejected(let change):
                show(
                    "\(change.table) \(change.key) was refused: \(change.message ?? change.reason)")
            case .reread(let report):
                show("read again: \(report.resentRows) rows sent again")
            case .drift(let report):
                show("\(report.rows) rows of \(report.table) were not the server's: repaired")
            case .access(let report) where !report.closed.isEmpty:
                show("not yours to read any more: \(report.closed.joined(separator: ", "))")
            case .access(let report):
                show("yours to read now: \(report.opened.joined(separator: ", "))")
            }
        }
    }
    // end

    // begin: review
    static func review(_ engine: SyncEngine, ask: (ConflictReport) async -> Void) async throws {
        for report in try await engine.settledConflicts {
            await ask(report)
            try await engine.dismiss(report)
        }
    }
    // end

    // begin: put-back
    static func putBack(_ report: ConflictReport, in database: DatabasePool) async throws {
        try await database.write { db in
            for (column, value) in report.lost where report.columns.contains(column) {
                let (table, name) = (
                    report.table.quotedDatabaseIdentifier, column.quotedDatabaseIdentifier
                )
                try db.execute(
                    sql: "UPDATE \(table) SET \(name) = ? WHERE id = ?",
                    arguments: [value, report.key])
            }
        }
    }
    // end

    // begin: keys
    static let keyed = [
        SyncTable("posts"),  // id TEXT PRIMARY KEY: a UUID in any spelling
        SyncTable("photos"),  // id BLOB PRIMARY KEY: the UUID's 16 bytes
        SyncTable("currencies", keyKind: .text),  // code TEXT PRIMARY KEY
        SyncTable("memberships", keyColumn: "sync_id"),  // besides a primary key of two columns
        // id INTEGER PRIMARY KEY: bigint on the server, which numbers its rows
        SyncTable("orders", keyKind: .integer, leasesKeys: true),
    ]
    // end

    static func createOrder(in database: DatabasePool) throws {
        // begin: leased key
        try database.write { db in
            let id = try db.nextSyncKey(for: "orders")
            try db.execute(
                sql: "INSERT INTO orders (id, title) VALUES (?, ?)", arguments: [id, "Paper"])
        }
        // end
    }
}
