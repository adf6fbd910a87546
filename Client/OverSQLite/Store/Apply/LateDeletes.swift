import GRDB

/// Deletes of rows that others refer to, which are applied after everything else of their pages.
///
/// A back end that renames a key sends a delete, a new row, and the rows that refer to it, in any
/// order. Applied in that order, a foreign key of this database would delete or empty rows that
/// refer to another row by then.
struct LateDeletes {
    /// Changes after a delete by which the rows that refer to the deleted one have come: a
    /// transaction of the server is not divided by others.
    static let patience = 10_000

    private var changes: [(change: RemoteChange, table: TableSchema, place: Int)] = []
    /// Changes that were read so far.
    var changesSeen = 0

    mutating func add(_ change: RemoteChange, _ table: TableSchema) {
        changes.append((change, table, changesSeen))
    }

    /// Takes the deletes, those of children first.
    mutating func take(_ catalog: DeviceCatalog) -> [(change: RemoteChange, table: TableSchema)] {
        defer { changes = [] }
        let ranked = changes.map { (rank: -catalog.rank(ofTable: $0.table.id), entry: $0) }
        return ranked.sorted { ($0.rank, $0.entry.place) < ($1.rank, $1.entry.place) }
            .map { ($0.entry.change, $0.entry.table) }
    }

    /// Whether a foreign key would act on rows that the next page may bring.
    func mayComeTooEarly(_ tables: TableWriters) throws -> Bool {
        for (change, table, place) in changes where changesSeen - place < Self.patience {
            guard let key = table.keyForm.key(fromWire: change.key),
                let known = try tables.known.find(table, key), known.row.version < change.version
            else { continue }
            let local = table.keyForm.spelled(known.spelling, for: key)
            if try tables.isReferredTo(local, in: table) { return true }
        }
        return false
    }
}

extension PageApplier {
    /// Whether a delete in the table is applied late. Where two histories are compared, the log's
    /// order counts.
    func mayBeLate(_ table: TableSchema) -> Bool {
        !table.referrers.isEmpty && reread?.reason != .newHistory
    }

    mutating func applyLateDeletes() throws {
        // A delete has no payload.
        let nothing = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        for (change, table) in lateDeletes.take(catalog) { try apply(change, table, nothing) }
    }

    /// Whether rows that refer to this one have newer versions that are held, perhaps with another
    /// parent. An edit of them would go with this row.
    func hasUpdatesWaiting(below local: DatabaseValue?, _ table: TableSchema) throws -> Bool {
        guard hasHeld, let local else { return false }
        for referrer in table.referrers where referrer.actsOnDelete {
            guard let child = catalog.table(wireName: referrer.table.lowercased()) else { continue }
            let statement = try db.cachedStatement(
                sql: "SELECT c.\(child.quotedKey) \(referrer.rowsSQL(below: table))")
            for found in try DatabaseValue.fetchAll(statement, arguments: [local]) {
                guard let key = child.keyForm.key(fromLocal: found),
                    let entry = try held.entry(child, key), entry.row.payload != nil
                else { continue }
                return true
            }
        }
        return false
    }
}

extension TableWriters {
    /// Whether deleting a row would change or delete others.
    func isReferredTo(_ local: DatabaseValue, in table: TableSchema) throws -> Bool {
        for referrer in table.referrers where referrer.actsOnDelete {
            let statement = try db.cachedStatement(
                sql: "SELECT 1 \(referrer.rowsSQL(below: table)) LIMIT 1")
            if try Int.fetchOne(statement, arguments: [local]) != nil { return true }
        }
        return false
    }
}

extension Referrer {
    /// The columns of the row `c` that refer to those of the row `p`. The parent's come first:
    /// SQLite takes the collation of the left side, and foreign keys compare with the parent's.
    var pairsSQL: String {
        zip(columns, parentColumns).map {
            "p.\($1.quotedIdentifier) = c.\($0.quotedIdentifier)"
        }.joined(separator: " AND ")
    }

    /// The rows `c` that refer to the row `p` whose key is the one argument, without itself.
    func rowsSQL(below parent: TableSchema) -> String {
        let isOther =
            table.lowercased() == parent.wireName
            ? " AND c.\(parent.quotedKey) IS NOT p.\(parent.quotedKey)" : ""
        return """
            FROM \(parent.quotedName) AS p JOIN \(table.quotedIdentifier) AS c
            ON \(pairsSQL)\(isOther) WHERE p.\(parent.quotedKey) IS ?
            """
    }
}
