import Foundation
import GRDB

/// Writes rows of the server that exchange, move or free unique values.
///
/// The server may check such a set as a whole; SQLite checks every row by itself. So rows that
/// cannot be written one by one are written in an order in which each finds its values free. Where
/// rows wait for each other in a circle, one of them gets other values for a while.
struct UniqueExchange {
    /// Held rows of one table to look at in a transaction.
    static let rowsAtOnce = 5000
    /// Attempts in a transaction. Each leaves out the rows that the one before could not write.
    static let maximumAttempts = 8

    struct Account {
        var written: [DeviceRowKey] = []
        var reports: [ConflictReport] = []
    }

    let db: Database
    let tables: TableWriters
    let table: TableSchema
    /// Whether a row must wait for another reason.
    let isLeftOut: (DeviceRowKey) -> Bool

    /// A row that is to be written.
    struct Member {
        let entry: HeldRows.Entry
        /// Edits of the row that conflict with the server's version; nil if there are none.
        let pending: PendingRow?
        /// The key as the row spells it; nil if the row is not here.
        let local: DatabaseValue?
        /// The row as it is before anything is written.
        let before: RowValues?
        /// The rows here that have the values this one is to get.
        var blockers: Set<Blocker> = []
    }

    /// A row and the number of the index in which it has a value.
    struct Blocker: Hashable {
        let key: DeviceRowKey
        let index: Int
    }

    /// Runs under apply mode.
    func run() throws -> Account {
        var members = try refusedRows()
        for _ in 1...Self.maximumAttempts {
            try leaveOutBlocked(&members)
            if members.isEmpty { break }
            let (result, failed) = try attempt(members)
            if failed.isEmpty { return result }
            for (key, reason) in failed {
                guard let member = members.removeValue(forKey: key) else { continue }
                try explain(member, reason)
            }
        }
        return Account()
    }

    // MARK: Which rows

    private func refusedRows() throws -> [DeviceRowKey: Member] {
        var members: [DeviceRowKey: Member] = [:]
        for entry in try HeldRows(db: db).refused(of: table, limit: Self.rowsAtOnce)
        where !isLeftOut(entry.key) {
            members[entry.key] = try member(entry)
        }
        return members
    }

    private func member(_ entry: HeldRows.Entry) throws -> Member? {
        let known = try tables.known.find(table, entry.key)
        let isStored = entry.isStored(of: known?.row)
        if let known, known.row.version >= entry.row.version, !isStored { return nil }
        let queue = PendingQueue(db: db)
        let pending = try queue.row(table, entry.key)
        if isStored != entry.isStored || isStored && pending != nil { return nil }
        if let pending {
            let waiting = PullRules.Waiting(
                revision: pending.revision, sent: try queue.sent.records(table, entry.key))
            if waiting.mayBeBeneath(entry.row.version) { return nil }
        }
        let local =
            pending?.local ?? known.map { table.keyForm.spelled($0.spelling, for: entry.key) }
        let remote = try? entry.row.payload?.withUnsafeBufferPointer {
            try tables.writer(table).values(of: $0)
        }
        guard let remote else { return nil }
        // A column that was edited here alone keeps its value, and asks for no other.
        let merged = try pending.flatMap {
            try ConflictResolver(db: db, tables: tables).foreseen($0, in: table, against: entry.row)
        }
        let values = merged ?? remote
        let before = try local.flatMap { try LocalRow(db: db, table: table).values($0) }
        var member = Member(entry: entry, pending: pending, local: local, before: before)
        for (number, index) in table.uniqueIndexes.enumerated() where !index.readsGenerated {
            for key in try clashes(of: values, member, in: index) {
                member.blockers.insert(Blocker(key: key, index: number))
            }
        }
        return member
    }

    /// The rows here that have the index's values which a row is to get.
    private func clashes(
        of values: RowValues, _ member: Member, in index: UniqueIndex
    ) throws -> [DeviceRowKey] {
        var arguments = ["own": member.local ?? .null]
        let present = member.before == nil ? nil : try row(member.local, index.columns)
        for (place, column) in index.columns.enumerated() {
            arguments["c\(place)"] = values[column.lowercased()] ?? present?[place] ?? .null
        }
        let names = Dictionary(
            index.columns.enumerated().map { ($1, ":c\($0)") },
            uniquingKeysWith: { first, _ in first })
        let statement = try db.cachedStatement(
            sql: """
                SELECT \(table.quotedKey) FROM \(table.quotedName)
                WHERE \(index.clashSQL { names[$0] ?? "NULL" })
                  AND \(table.quotedKey) COLLATE BINARY IS NOT :own
                """)
        return try DatabaseValue.fetchAll(statement, arguments: StatementArguments(arguments))
            .compactMap { table.keyForm.key(fromLocal: $0) }
    }

    private func row(_ local: DatabaseValue?, _ columns: [String]) throws -> [DatabaseValue]? {
        let names = columns.map(\.quotedIdentifier).joined(separator: ", ")
        let statement = try db.cachedStatement(
            sql: "SELECT \(names) FROM \(table.quotedName) WHERE \(table.quotedKey) IS ?")
        return try Row.fetchOne(statement, arguments: [local]).map { Array($0.databaseValues) }
    }

    /// Leaves out the rows whose values belong to a row that keeps them, and those that wait for
    /// such a row, and notes why.
    private func leaveOutBlocked(_ members: inout [DeviceRowKey: Member]) throws {
        var dependents: [DeviceRowKey: [DeviceRowKey]] = [:]
        var blocked: [(key: DeviceRowKey, by: Blocker)] = []
        for (key, member) in members {
            for blocker in member.blockers {
                dependents[blocker.key, default: []].append(key)
                if members[blocker.key] == nil { blocked.append((key, blocker)) }
            }
        }
        while let (key, blocker) = blocked.popLast() {
            guard let member = members.removeValue(forKey: key) else { continue }
            let index = table.uniqueIndexes[blocker.index]
            try explain(
                member,
                "in the unique index \(index.name) the row \(blocker.key.wire) has the value")
            for dependent in dependents[key] ?? [] {
                let reason = members[dependent]?.blockers.first { $0.key == key }
                if let reason { blocked.append((dependent, reason)) }
            }
        }
    }

    /// Adds the reason after SQLite's words.
    private func explain(_ member: Member, _ reason: String) throws {
        let separator = "; "
        let words = member.entry.reason.components(separatedBy: separator).first ?? ""
        let text = words == reason ? reason : words + separator + reason
        if text == member.entry.reason { return }
        try HeldRows(db: db).explain(table, member.entry.key, text)
    }

    // MARK: Writing them

    /// Writes all rows, or none.
    ///
    /// - Returns: the rows that could not be written, with the reasons.
    private func attempt(
        _ members: [DeviceRowKey: Member]
    ) throws -> (Account, failed: [DeviceRowKey: String]) {
        let writer = try tables.writer(table)
        let (spellings, outcomes) = (writer.newSpellings, tables.outcomes)
        var run = UniqueExchangeRun(exchange: self, members: members)
        try db.inSavepoint {
            try run.writeAll()
            return run.failed.isEmpty ? .commit : .rollback
        }
        if !run.failed.isEmpty {
            writer.newSpellings = spellings
            tables.outcomes = outcomes
        }
        return (run.result, run.failed)
    }
}
