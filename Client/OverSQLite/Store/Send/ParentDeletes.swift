import GRDB

/// Finds deletions that the server would refuse now, because it still has children of the row.
///
/// On this device nothing refers to a deleted row. What did was deleted or changed before it, and
/// may not have been sent: a row keeps its place in the queue, so a parent that was edited early
/// stands before its children.
///
/// ```
/// place      1                     2 … 200      201
/// row        user: edit, deletion  others       deletion of the user's post
/// upload     ───────── 1 ─────────────────────  ──── 2 ───
/// with this  ───────── 3 ──                     (2 … 201 go before it)
/// ```
///
/// Which rows referred to it is no longer known. So the deletions of a table wait for every edit of
/// a referring table that is older than the newest deletion. Edits that the app makes meanwhile are
/// newer, so the wait ends.
struct ParentDeletes {
    let db: Database
    let catalog: DeviceCatalog
    /// Seconds since 1970.
    let now: Double
    /// The deletions that wait, so far, and their tables.
    private(set) var waiting: [PendingRow] = []
    private(set) var tables: Set<Int64> = []

    init(db: Database, catalog: DeviceCatalog, now: Double) {
        self.db = db
        self.catalog = catalog
        self.now = now
    }

    /// Adds those of some rows that wait to ``waiting``, and gives the others.
    ///
    /// - Parameters:
    ///   - rows: in the order of the queue.
    ///   - isOneUpload: whether they go in one upload, so that they do not wait for each other.
    mutating func hold(in rows: [PendingRow], isOneUpload: Bool) throws -> [PendingRow] {
        let end = rows.last?.sequence ?? 0
        var held: Set<Int64> = []
        for (table, newest) in parents(among: rows) {
            let children = catalog.children(ofTable: table)
            let isBehind =
                try !tables.isDisjoint(with: children)
                || hasEdit(of: children, before: newest, behind: end)
            // Of the rows after the one that is looked at.
            var oldest = isBehind ? Int64.min : .max
            for row in rows.reversed() {
                if row.tableID == table, row.operation == .delete, oldest < row.revision {
                    waiting.append(row)
                    tables.insert(table)
                    held.insert(row.sequence)
                } else if !isOneUpload, children.contains(row.tableID) {
                    oldest = min(oldest, row.revision)
                }
            }
        }
        return rows.filter { !held.contains($0.sequence) }
    }

    /// The tables of deletions to which others refer, each with its newest deletion; children's
    /// tables first, for a deletion waits with those of its children.
    private func parents(among rows: [PendingRow]) -> [(table: Int64, newest: Int64)] {
        var newest: [Int64: Int64] = [:]
        for row in rows where row.operation == .delete {
            newest[row.tableID] = max(newest[row.tableID] ?? 0, row.revision)
        }
        return newest.filter { !catalog.children(ofTable: $0.key).isEmpty }
            .map { (table: $0.key, newest: $0.value) }
            .sorted { one, other in
                (-catalog.rank(ofTable: one.table), one.table)
                    < (-catalog.rank(ofTable: other.table), other.table)
            }
    }

    /// Whether an edit that may be sent, of certain tables, was made before a revision and stands
    /// after a place.
    private func hasEdit(
        of tables: Set<Int64>, before revision: Int64, behind place: Int64
    ) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                SELECT 1 FROM _sync_pending
                WHERE seq > ? AND revision < ? AND \(Self.isSendable(of: tables)) LIMIT 1
                """)
        return try Int.fetchOne(statement, arguments: [place, revision, now]) != nil
    }

    /// The revision of the oldest edit that may be sent, of a table that refers to this one; the
    /// largest number if there is none.
    func oldestChild(of table: TableSchema) throws -> Int64 {
        let children = catalog.children(ofTable: table.id)
        guard !children.isEmpty else { return .max }
        let statement = try db.cachedStatement(
            sql: "SELECT min(revision) FROM _sync_pending WHERE \(Self.isSendable(of: children))")
        return try Int64.fetchOne(statement, arguments: [now]) ?? .max
    }

    /// A child that is rejected, and not due, is waited for by nobody.
    private static func isSendable(of tables: Set<Int64>) -> String {
        let numbers = tables.sorted().map(String.init).joined(separator: ", ")
        return "tbl IN (\(numbers)) AND (reason IS NULL OR retry_at <= ?)"
    }
}
