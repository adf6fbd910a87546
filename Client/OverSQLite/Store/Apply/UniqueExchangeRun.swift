import GRDB

/// One attempt to write rows that wait for each other's unique values.
struct UniqueExchangeRun {
    typealias Blocker = UniqueExchange.Blocker

    private let exchange: UniqueExchange
    private let members: [DeviceRowKey: UniqueExchange.Member]
    private let order: [DeviceRowKey]
    /// What each row still waits for.
    private var waits: [DeviceRowKey: Set<Blocker>]
    private var waiting: [Blocker: [DeviceRowKey]] = [:]
    private var ready: [DeviceRowKey] = []
    private var done: Set<DeviceRowKey> = []
    private var parking: UniqueParking
    private var parked: [DeviceRowKey: [UniqueParking.Parked]] = [:]
    private(set) var result = UniqueExchange.Account()
    private(set) var failed: [DeviceRowKey: String] = [:]

    init(exchange: UniqueExchange, members: [DeviceRowKey: UniqueExchange.Member]) {
        self.exchange = exchange
        self.members = members
        order = members.keys.sorted { $0.wire < $1.wire }
        waits = members.mapValues(\.blockers)
        parking = UniqueParking(db: exchange.db, table: exchange.table)
        for key in order {
            for blocker in waits[key] ?? [] { waiting[blocker, default: []].append(key) }
        }
        ready = order.reversed().filter { waits[$0]?.isEmpty == true }
    }

    /// Writes each row once its values are free. If none is left of those, the rest wait for each
    /// other, and the first of them gets its values by parking.
    mutating func writeAll() throws {
        var place = 0
        while true {
            while let key = ready.popLast() { try write(key) }
            while place < order.count, done.contains(order[place]) { place += 1 }
            guard place < order.count else { return }
            let key = order[place]
            for blocker in waits[key] ?? [] where try !park(blocker) {
                done.insert(key)
                // A row after one that failed is looked at again in the next attempt.
                if failed[blocker.key] != nil { break }
                failed[key] =
                    "no other value can stand in for the row \(blocker.key.wire) meanwhile in the "
                    + "unique index \(exchange.table.uniqueIndexes[blocker.index].name)"
                break
            }
        }
    }

    private mutating func write(_ key: DeviceRowKey) throws {
        guard let member = members[key], done.insert(key).inserted else { return }
        do {
            try exchange.db.inSavepoint {
                try write(member)
                for value in parked[key] ?? [] { try parking.giveBack(value) }
                return .commit
            }
            result.written.append(key)
            for index in exchange.table.uniqueIndexes.indices {
                free(Blocker(key: key, index: index))
            }
        } catch let error as Refused {
            failed[key] = error.reason
        } catch let error as DatabaseError where error.isOfTheRow {
            failed[key] = error.message ?? "it violates a constraint of this database"
        }
    }

    private struct Refused: Error {
        let reason: String
    }

    private mutating func write(_ member: UniqueExchange.Member) throws {
        let (db, table, tables) = (exchange.db, exchange.table, exchange.tables)
        guard let pending = member.pending else {
            try tables.write(member.entry.row, table, member.entry.key, local: member.local)
            return try HeldRows(db: db).release(table, member.entry.key)
        }
        let resolution = try ConflictResolver(db: db, tables: tables).resolve(
            pending, in: table, against: member.entry.row, earlier: member.before)
        guard case .resolved(let report) = resolution else {
            throw Refused(reason: "the app's resolver failed")
        }
        if let report { result.reports.append(report) }
        try HeldRows(db: db).release(table, member.entry.key)
    }

    /// Gives a row that is not written yet another value for a while.
    private mutating func park(_ blocker: Blocker) throws -> Bool {
        guard !done.contains(blocker.key), let local = members[blocker.key]?.local,
            let value = try parking.park(
                local, in: exchange.table.uniqueIndexes[blocker.index])
        else { return false }
        parked[blocker.key, default: []].append(value)
        free(blocker)
        return true
    }

    private mutating func free(_ blocker: Blocker) {
        for key in waiting.removeValue(forKey: blocker) ?? [] {
            waits[key]?.remove(blocker)
            if waits[key]?.isEmpty == true { ready.append(key) }
        }
    }
}
