import GRDB

/// Finds pending rows that must be sent together: one of them gets a unique value that another one
/// still has on the server. Apart, the server would refuse the first.
struct UniqueSets {
    /// Pending rows to look at when a batch cannot take all of them.
    static let lookahead = 1000
    /// Pending rows to look at where a set goes on after those, or where the server has refused
    /// rows: what they wait for may stand anywhere in the queue.
    static let longestLookahead = 20_000

    let db: Database
    let catalog: DeviceCatalog

    /// A row to be sent.
    struct Member {
        let row: PendingRow
        /// What is sent at first, in place of the row as it is here; nil for that.
        var standIn: RowValues?
    }

    /// A set of the pending rows, with the rows whose values each of them takes.
    struct UniqueSet {
        let rows: [PendingRow]
        /// By the places in ``rows``.
        fileprivate let waits: [Set<Int>]
        /// The numbers of the indexes in which other rows of the set take a row's value.
        fileprivate let wanted: [Set<Int>]

        /// In the order of the queue.
        var members: [Member] { rows.map { Member(row: $0) } }
    }

    /// The sets of the rows that may be sent now, each at the place of its first row.
    ///
    /// - Parameters:
    ///   - limit: the number of changes in an upload.
    ///   - rows: the oldest of the rows.
    func sets(sendable rows: [PendingRow], limit: Int, now: Double) throws -> [UniqueSet] {
        let queue = PendingQueue(db: db)
        if rows.contains(where: isRefusedForOthers) {
            // The other rows of its set may wait for their next try.
            let all = try queue.sendable(
                limit: Self.longestLookahead, now: now, catalog: catalog, withRefused: true)
            let due = Set(
                try queue.sendable(limit: Self.longestLookahead, now: now, catalog: catalog)
                    .map(\.sequence))
            let sets = try sets(of: all).filter { set in
                set.rows.contains { due.contains($0.sequence) }
            }
            // The search is bounded: refused rows in front of the due ones may fill it.
            return sets.isEmpty ? try self.sets(of: rows) : sets
        }
        var size = max(limit, Self.lookahead)
        while true {
            let ahead = try queue.sendable(limit: size, now: now, catalog: catalog)
            let sets = try sets(of: ahead)
            let goesOn = (sets.first?.rows.count ?? 0) > limit && ahead.count == size
            guard goesOn, size < Self.longestLookahead else { return sets }
            size = Self.longestLookahead
        }
    }

    /// Whether a row may have been refused because another one has its values.
    private func isRefusedForOthers(_ row: PendingRow) -> Bool {
        row.reason == PushRules.materializeError
            && catalog.table(id: row.tableID)?.uniqueIndexes.isEmpty == false
    }

    func sets(of rows: [PendingRow]) throws -> [UniqueSet] {
        var owners: [IndexedValue: [Int]] = [:]
        for (place, row) in rows.enumerated() {
            for value in try serverValues(of: row) { owners[value, default: []].append(place) }
        }
        if owners.isEmpty { return rows.map { UniqueSet(rows: [$0], waits: [[]], wanted: [[]]) } }
        var groups = DisjointSets(count: rows.count)
        var waits: [Set<Int>] = Array(repeating: [], count: rows.count)
        var wanted = waits
        for (place, row) in rows.enumerated() where row.operation != .delete {
            for value in try localValues(of: row) {
                for owner in owners[value] ?? [] where owner != place {
                    groups.join(place, owner)
                    waits[place].insert(owner)
                    wanted[owner].insert(value.index)
                }
            }
        }
        return groups.sets.map { places in
            let numbers = Dictionary(uniqueKeysWithValues: places.enumerated().map { ($1, $0) })
            return UniqueSet(
                rows: places.map { rows[$0] },
                waits: places.map { Set(waits[$0].compactMap { numbers[$0] }) },
                wanted: places.map { wanted[$0] })
        }
    }

    /// The rows of a set in an order in which it can be divided. A row that is sent with stand-ins
    /// remains to be sent as it is.
    func divisible(_ set: UniqueSet) throws -> [Member] {
        var standIns: [Int: RowValues] = [:]
        let steps = try SendOrder.steps(set.waits) { place in
            let row = StandInRow(sets: self, row: set.rows[place], indexes: set.wanted[place])
            guard let values = try row.values(number: Int64(standIns.count)) else {
                return false
            }
            standIns[place] = values
            return true
        }
        return steps.map { step in
            switch step {
            case .whole(let place): Member(row: set.rows[place])
            case .standIn(let place): Member(row: set.rows[place], standIn: standIns[place])
            }
        }
    }

    /// What a row has in a unique index.
    struct IndexedValue: Hashable {
        let table: Int64
        let index: Int
        let terms: [DatabaseValue]
    }

    /// The unique values that a row has on the server, as far as this device knows.
    private func serverValues(of row: PendingRow) throws -> [IndexedValue] {
        guard let table = catalog.table(id: row.tableID), !table.uniqueIndexes.isEmpty,
            let image = RowImage.values(of: row.image)
        else { return [] }
        return try table.uniqueIndexes.indices.compactMap { try value(in: $0, of: table, image) }
    }

    /// The value of a row in an index.
    func value(
        in number: Int, of table: TableSchema, _ row: RowValues
    ) throws -> IndexedValue? {
        let index = table.uniqueIndexes[number]
        if index.readsGenerated { return nil }
        let names = index.columns.enumerated().map { ":c\($0) AS \($1.quotedIdentifier)" }
        let arguments = Dictionary(
            index.columns.enumerated().map { ("c\($0)", row[$1.lowercased()] ?? .null) },
            uniquingKeysWith: { first, _ in first })
        let source = "(SELECT \(names.joined(separator: ", ")))"
        return try value(index, number, table, source, StatementArguments(arguments))
    }

    /// The unique values that a row has here.
    private func localValues(of row: PendingRow) throws -> [IndexedValue] {
        guard let table = catalog.table(id: row.tableID) else { return [] }
        return try table.uniqueIndexes.enumerated().compactMap { number, index in
            let source = "\(table.quotedName) WHERE \(table.quotedKey) IS ?"
            return try value(index, number, table, source, [row.local])
        }
    }

    private func value(
        _ index: UniqueIndex, _ number: Int, _ table: TableSchema, _ source: String,
        _ arguments: StatementArguments
    ) throws -> IndexedValue? {
        let statement = try db.cachedStatement(sql: index.valuesSQL(from: source))
        guard let row = try Row.fetchOne(statement, arguments: arguments) else { return nil }
        let terms = Array(row.databaseValues)
        if terms.contains(.null) { return nil }
        return IndexedValue(table: table.id, index: number, terms: terms)
    }
}

/// Numbers from 0, joined into sets.
struct DisjointSets {
    /// A smaller or equal number of the same set.
    private var roots: [Int]

    init(count: Int) { roots = Array(0..<count) }

    private func root(of number: Int) -> Int {
        var number = number
        while roots[number] != number { number = roots[number] }
        return number
    }

    mutating func join(_ one: Int, _ other: Int) {
        let (first, second) = (root(of: one), root(of: other))
        roots[max(first, second)] = min(first, second)
        roots[one] = min(first, second)
        roots[other] = min(first, second)
    }

    /// The sets by their smallest numbers, each in order.
    var sets: [[Int]] {
        var sets: [Int: [Int]] = [:]
        for number in roots.indices { sets[root(of: number), default: []].append(number) }
        return sets.sorted { $0.key < $1.key }.map(\.value)
    }
}
