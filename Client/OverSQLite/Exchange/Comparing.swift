import Digests
import GRDB

/// Proves that this device received what the server's log says, table by table, and repairs the
/// rows that differ (promise P8).
///
/// It compares sums first, then those of a table's parts, then the rows of the parts that differ:
/// one row of 10,000 costs a few kilobytes.
struct Comparing {
    let session: SyncSession

    /// How often it starts over because the log has grown meanwhile.
    private static let rounds = 3
    /// Parts whose rows are listed by one request.
    private static let partsAtOnce = 64
    /// Rows that are listed by one request, as far as parts can be distinguished.
    private static let rowsAtOnce = 5000

    /// Thrown when the log has grown since it was summed, or this device knows more of it.
    struct Moved: Error {}

    /// What was found so far.
    private struct Progress {
        /// The tables that were compared to their end.
        var done: Set<Int64> = []
        /// The rows that differed, by table. A row that differs is found again if the log moves
        /// before it is repaired.
        var differing: [Int64: [DeviceRowKey]] = [:]
        /// The number of those that were repaired, by table.
        var repaired: [Int64: Int] = [:]

        mutating func add(_ keys: [DeviceRowKey], to table: TableSchema) {
            let known = Set(differing[table.id, default: []].map { Array($0.wire.utf8) })
            differing[table.id, default: []] += keys.filter {
                !known.contains(Array($0.wire.utf8))
            }
        }

        func comparison(of table: TableSchema) -> TableComparison {
            let keys = differing[table.id, default: []]
            guard done.contains(table.id) else {
                return TableComparison(table.name, .notCompared, differing: keys)
            }
            return TableComparison(
                table.name, keys.isEmpty ? .equal : .repaired, differing: keys)
        }

        /// One report for each table with rows that differed.
        func reports(_ tables: [TableSchema]) -> [SyncEvent] {
            tables.compactMap { table in
                differing[table.id].map {
                    .drift(
                        DriftReport(
                            table: table.name, rows: $0.count,
                            repaired: min(repaired[table.id, default: 0], $0.count)))
                }
            }
        }
    }

    /// - Returns: an entry for each table.
    /// - Throws: `SyncError`. What was repaired before the error stays repaired.
    func run() async throws -> [TableComparison] {
        let tables = session.catalog.tables
        var progress = Progress()
        var isDone = false
        // Told also where the rest fails: these rows were not what the server has.
        defer { session.board.post(progress.reports(tables)) }
        for round in 0..<Self.rounds {
            if round > 0 { try await Exchange(session: session).fetch(isFresh: true) }
            do {
                try await compare(&progress, isFirst: round == 0)
                isDone = true
                break
            } catch is Moved {}
        }
        // A log that kept growing is not compared again after the next fetch, but somewhat later:
        // each of a busy user's fetches would ask for sums otherwise.
        let now = session.now
        let last = isDone ? now : DigestRules.last(now: now, dueAfter: DigestRules.movedInterval)
        try await session.write { db in try DeviceStateTable(db: db).setCompared(at: last) }
        return tables.map(progress.comparison)
    }

    /// - Parameters:
    ///   - progress: has the tables that are done, which are not compared again.
    ///   - isFirst: whether no round was before. The later ones ask table by table, so that each
    ///     needs the log to stand still for a moment only.
    private func compare(_ progress: inout Progress, isFirst: Bool) async throws {
        let done = progress.done
        let closed = try await session.read { db in try SyncedTables(db: db).closed() }
        let left = session.catalog.tables.filter {
            !done.contains($0.id) && !closed.contains($0.id)
        }
        for tables in isFirst ? [left] : left.map({ [$0] }) {
            let asked = isFirst ? nil : tables.first?.wireName
            try await compare(tables, asked, &progress)
        }
    }

    /// - Parameter name: of the one table whose sum is asked for; nil asks for those of all.
    private func compare(
        _ left: [TableSchema], _ name: String?, _ progress: inout Progress
    ) async throws {
        let there = try await session.gateway.digest(
            .init(table: name), history: try await history())
        let (head, history) = (there.head, there.history)
        let here = try await session.read { db in
            let state = try DeviceStateTable(db: db).read()
            guard DigestRules.isComparable(state, head: head, history) else { throw Moved() }
            return try left.map { try TableDigest(db: db, table: $0).total() }
        }
        for (table, total) in zip(left, here) {
            guard let server = there.tables[table.wireName] else { continue }
            if !total.equals(server) {
                let differing = try await differingRows(
                    of: table, rows: max(total.live, server.live), head, history)
                if !differing.isEmpty {
                    progress.add(differing, to: table)
                    try await Repairing(session: session, table: table)
                        .run(differing, head, history, &progress.repaired[table.id, default: 0])
                }
            }
            progress.done.insert(table.id)
        }
    }

    private func history() async throws -> HistoryPair? {
        try await session.read { db in try DeviceStateTable(db: db).read().history }
    }

    /// The rows that differ, found by parts.
    ///
    /// - Parameter rows: about how many the table has.
    private func differingRows(
        of table: TableSchema, rows: Int, _ head: Int64, _ history: HistoryPair?
    ) async throws -> [DeviceRowKey] {
        let count = RowBuckets.count(forRows: rows)
        let there = try await session.gateway.digest(
            .init(table: table.wireName, count: count), history: history)
        guard there.head == head, there.history == history, there.buckets.count == count else {
            throw Moved()
        }
        let here = try await session.read { db in
            let state = try DeviceStateTable(db: db).read()
            guard DigestRules.isComparable(state, head: head, history) else { throw Moved() }
            return try TableDigest(db: db, table: table).buckets(count)
        }
        let open = (0..<count).filter { !here[$0].equals(there.buckets[$0]) }
        var differing: [DeviceRowKey] = []
        for parts in Self.portions(of: open, there.buckets) {
            let listed = try await session.gateway.digest(
                .init(table: table.wireName, count: count, buckets: parts), history: history)
            guard listed.head == head, listed.history == history else { throw Moved() }
            differing += try await session.write { db in
                let state = try DeviceStateTable(db: db).read()
                try session.checkUser(state)
                guard DigestRules.isComparable(state, head: head, history) else { throw Moved() }
                return try TableDigest(db: db, table: table)
                    .compare(with: listed.rows, in: Set(parts), count: count)
            }
        }
        return differing
    }

    /// Parts that are listed by one request each.
    private static func portions(of open: [Int], _ totals: [DigestTotal]) -> [[Int]] {
        var portions: [[Int]] = []
        var rows = 0
        for part in open {
            let isFull =
                portions.last.map {
                    $0.count == partsAtOnce || rows + totals[part].live > rowsAtOnce
                }
                ?? true
            if isFull {
                portions.append([])
                rows = 0
            }
            portions[portions.count - 1].append(part)
            rows += totals[part].live
        }
        return portions
    }
}

extension SyncSession {
    /// Compares all rows with the server's. The caller holds the lock.
    ///
    /// - Parameter isDeep: whether the values of the app's tables are compared, too.
    func verify(isDeep: Bool) async throws -> VerifyReport {
        try await fetch(isFresh: true)
        guard try await capabilities().offers(.digest) else {
            return VerifyReport(
                tables: catalog.tables.map { TableComparison($0.name, .notCompared) })
        }
        var tables = try await Comparing(session: self).run()
        if isDeep { tables = try await DeepComparing(session: self).run(tables) }
        try await refreshCounts(confirming: .all)
        return VerifyReport(tables: tables)
    }

    /// Compares if the last time is long enough ago. The caller holds the lock.
    ///
    /// A device that has just read the whole log has nothing to prove. A comparison that fails says
    /// nothing about what was downloaded; it is tried again later.
    func compareIfDue() async {
        let now = now
        guard let last = try? await read({ try DeviceStateTable(db: $0).comparedAt() }) else {
            return
        }
        if last == 0 {
            return await setCompared(at: now)
        }
        guard DigestRules.isDue(last: last, now: now),
            let offered = try? await capabilities(), offered.offers(.digest)
        else { return }
        do {
            _ = try await Comparing(session: self).run()
        } catch {
            await setCompared(
                at: DigestRules.last(now: now, dueAfter: DigestRules.retryInterval))
        }
    }

    private func setCompared(at time: Double) async {
        try? await write { db in try DeviceStateTable(db: db).setCompared(at: time) }
    }
}
