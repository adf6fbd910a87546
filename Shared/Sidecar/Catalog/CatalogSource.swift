import LogFields
import Logging
import Model
import Postgres
import ServiceLifecycle
import Synchronization

/// The catalog of a service process, read again every few seconds so that a registered table or a new
/// column needs no restart.
package final class CatalogSource: Service {
    /// How long a change of the registered tables or their columns may stay unseen.
    package static let refreshInterval: Duration = .seconds(5)
    /// Pause after a reading that failed, so that the catalog is fresh soon after the database is
    /// back.
    static let retryInterval: Duration = .seconds(1)
    /// Longest time of one reading.
    static let readLimit: Duration = .seconds(5)
    /// A catalog that was read longer ago is a problem: three readings in a row have failed.
    package static let maximumAge: Duration = refreshInterval * 3

    /// What is wrong with the catalog in memory.
    package enum Problem: Hashable, Sendable, CustomStringConvertible {
        /// There is none yet: nothing can be served.
        case unread
        /// It may lack tables and columns. The rest is served.
        case outdated

        package var description: String {
            switch self {
            case .unread: "the catalog has not been read yet"
            // The same words however old it is: a text that changed every second would be news
            // every second.
            case .outdated:
                "the catalog was last read more than "
                    + "\(CatalogSource.maximumAge.components.seconds) s ago: "
                    + "new tables and columns are not served"
            }
        }
    }

    private struct State {
        var catalog: Catalog?
        /// The database was asked for it after this.
        var readAt: ContinuousClock.Instant?
        var flaws: [TableFlaw] = []
        /// When the last reading for a device's sake began.
        var forcedAt: ContinuousClock.Instant?
        /// Readings that began.
        var readings = 0
        /// Callers that need a newer catalog.
        var waiting = Waiting()

        /// Those of each user, and of each of its devices.
        struct Waiting {
            private struct Place: Hashable {
                let user: UserID
                /// Nil: all devices of the user.
                let device: DeviceID?
            }

            private var counts: [Place: Int] = [:]
            private var total = 0

            /// Whether one more may wait.
            mutating func begin(_ caller: Caller) -> Bool {
                let (device, user) = Self.places(caller)
                guard total < CatalogSource.waitingAtOnce,
                    counts[user, default: 0] < CatalogSource.waitingPerUser,
                    counts[device, default: 0] < CatalogSource.waitingPerDevice
                else { return false }
                total += 1
                for place in [device, user] { counts[place, default: 0] += 1 }
                return true
            }

            mutating func end(_ caller: Caller) {
                total -= 1
                let (device, user) = Self.places(caller)
                for place in [device, user] {
                    let left = counts[place, default: 1] - 1
                    counts[place] = left > 0 ? left : nil
                }
            }

            private static func places(_ caller: Caller) -> (device: Place, user: Place) {
                (
                    Place(user: caller.user, device: caller.device),
                    Place(user: caller.user, device: nil)
                )
            }
        }

        enum Step {
            case take(Catalog)
            case read
            case wait(Duration)
        }

        /// How one that needs a catalog read after `earliest` gets it.
        mutating func nextStep(
            for earliest: ContinuousClock.Instant, now: ContinuousClock.Instant
        ) -> Step {
            if let catalog, let readAt, readAt >= earliest { return .take(catalog) }
            guard let forcedAt, now - forcedAt < CatalogSource.forcedInterval else {
                self.forcedAt = now
                return .read
            }
            // A reading that began since is under way; one that began before serves nobody here.
            if forcedAt >= earliest { return .wait(CatalogSource.forcedPause) }
            return .wait(CatalogSource.forcedInterval - (now - forcedAt))
        }
    }

    private let pool: PostgresPool
    private let logger: Logger
    private let state = Mutex(State())

    package init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Readings that began so far.
    package var readings: Int { state.withLock { $0.readings } }

    /// The catalog as last read; nil if it never was. Asks nobody.
    package var known: Catalog? { state.withLock { $0.catalog } }

    /// The catalog as last read; read now if it never was.
    package func catalog() async throws -> Catalog {
        if let known { return known }
        return try await refresh()
    }

    /// Pause between two readings that devices ask for, however many ask.
    static let forcedInterval: Duration = .seconds(1)
    /// Callers of one device that wait for such a reading at once. Over it: `.poolExhausted`.
    package static let waitingPerDevice = 16
    /// The same of all devices of a user, which may all come back when its rights have changed.
    package static let waitingPerUser = 512
    /// The same of all users: a part of the calls that a replica takes at once.
    static let waitingAtOnce = 4096
    /// Pause between two looks for a reading that is under way.
    fileprivate static let forcedPause: Duration = .milliseconds(50)

    /// The catalog for a caller whose tables differ from those that this replica knows. In that
    /// case the catalog is read after the call began, so a caller that knows of a change never sees
    /// the state before it, on any replica.
    ///
    /// - Parameters:
    ///   - told: the fingerprint that the caller knows, or no fingerprint at all.
    ///   - deadline: when nobody waits any more.
    /// - Throws: `PostgresError`; `.poolExhausted` if too many callers of the device or the user
    ///   wait already.
    package func catalog(
        for caller: Caller, told: String?, by deadline: ContinuousClock.Instant
    ) async throws -> Catalog {
        let known = try await catalog()
        guard let told, told != ReadableTables.unknown,
            known.readableTables(to: caller).fingerprint != told
        else { return known }
        guard state.withLock({ $0.waiting.begin(caller) }) else {
            throw PostgresError(.poolExhausted)
        }
        defer { state.withLock { $0.waiting.end(caller) } }
        return try await catalog(readAfter: .now, by: deadline)
    }

    private func catalog(
        readAfter earliest: ContinuousClock.Instant, by deadline: ContinuousClock.Instant
    ) async throws -> Catalog {
        while true {
            let step = state.withLock { $0.nextStep(for: earliest, now: .now) }
            switch step {
            case .take(let catalog): return catalog
            case .read: return try await refresh()
            case .wait(let pause):
                guard .now < deadline else { throw PostgresError(.deadlineExceeded) }
                try await Task.sleep(for: pause)
            }
        }
    }

    /// What is wrong with the catalog in memory; nil while it is fresh. Asks nobody.
    package func problem(now: ContinuousClock.Instant = .now) -> Problem? {
        guard let readAt = state.withLock({ $0.readAt }) else { return .unread }
        return now - readAt > Self.maximumAge ? .outdated : nil
    }

    /// Time since the database was asked for the catalog in memory; nil if there is none.
    package var age: Duration? {
        state.withLock { $0.readAt }.map { ContinuousClock.now - $0 }
    }

    /// What is wrong with registered tables, as last read. Empty in a service that does not write.
    /// Asks nobody.
    package var flaws: [TableFlaw] { state.withLock { $0.flaws } }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            // The last error in the log: an outage is one line, however many readings fail.
            var told: String?
            while !Task.isCancelled {
                var pause = Self.refreshInterval
                do {
                    _ = try await self.refresh()
                    told = nil
                } catch  where !Task.isCancelled {
                    pause = Self.retryInterval
                    let text = "\(error)"
                    if text != told {
                        self.logger.warning(
                            "the catalog could not be read; keeping the last one",
                            metadata: .fields([.error: "\(text)"]))
                    }
                    told = text
                } catch {
                    return
                }
                // Ends early on cancellation, and the loop ends with it.
                try? await Task.sleep(for: pause)
            }
        }
    }

    /// Reads the catalog now.
    ///
    /// - Throws: `PostgresError`; after a few seconds without an answer `.deadlineExceeded`.
    @discardableResult
    package func refresh() async throws -> Catalog {
        let asked = ContinuousClock.now
        let deadline = asked + Self.readLimit
        state.withLock { $0.readings += 1 }
        let (tables, defers, flaws) = try await pool.withConnection(deadline: deadline) {
            let tables = try await Catalog.readTables(on: $0, deadline: deadline)
            return (
                tables, try await Catalog.readHasDeferrableConstraints(on: $0, deadline: deadline),
                try await TableFlaw.read(tables, on: $0, deadline: deadline)
            )
        }
        let (catalog, news) = keep(tables, defers, flaws, asked)
        for flaw in news {
            logger.warning(
                "a registered table is not wholly synced", metadata: .fields([.error: "\(flaw)"]))
        }
        return catalog
    }

    /// - Returns: the newest catalog, and the flaws that were not known before.
    private func keep(
        _ tables: [RegisteredTable], _ defers: Bool, _ flaws: [TableFlaw],
        _ asked: ContinuousClock.Instant
    ) -> (Catalog, news: [TableFlaw]) {
        state.withLock { state in
            if let readAt = state.readAt, asked < readAt, let newer = state.catalog {
                return (newer, [])
            }
            state.readAt = asked
            let news = flaws.filter { !state.flaws.contains($0) }
            state.flaws = flaws
            if let known = state.catalog, known.isMade(of: tables),
                known.hasDeferrableConstraints == defers
            {
                return (known, news)
            }
            let fresh = Catalog(
                tables: tables, hasDeferrableConstraints: defers,
                generation: (state.catalog?.generation ?? 0) + 1)
            state.catalog = fresh
            return (fresh, news)
        }
    }
}

extension Catalog {
    /// Reads the registered tables and what PostgreSQL knows of them.
    package static func readTables(
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> [RegisteredTable] {
        let rows = try await connection.run(
            SidecarStatements.ReadRegisteredTables(), deadline: deadline
        ).all()
        let facts = try await Introspection.read(
            rows.map(\.name), on: connection, deadline: deadline)
        return rows.map { row in
            let isTable = row.mode == .table
            let except = row.withheld.except
            let columns = facts.columns[row.name] ?? []
            return RegisteredTable(
                id: row.id, name: row.name, keyKind: row.keyKind, keyColumn: row.keyColumn,
                mode: row.mode, ownerColumn: row.ownerColumn,
                columns: isTable ? columns.filter { !except.contains($0.name) } : [],
                // Also those with a column that stays on the server: the rows of both tables depend
                // on each other all the same.
                foreignKeys: isTable ? facts.foreignKeys[row.name] ?? [] : [],
                columnNeeds: isTable ? facts.columnNeeds[row.name] ?? [] : [],
                keySequence: isTable && row.keyKind == .integer
                    ? facts.keySequence(of: row.name, key: row.keyColumn) : nil,
                keyIndexColumns: facts.keyIndex(
                    of: row.name, key: row.keyColumn, owner: row.ownerColumn) ?? [row.keyColumn],
                hasRowTriggers: isTable && facts.rowTriggers.contains(row.name),
                reach: isTable ? facts.reach(of: row.name, key: row.keyColumn) : .own,
                isRemoved: row.isRemoved, access: row.access, withheld: row.withheld,
                policies: isTable ? row.policies : .none)
        }
    }

    /// See ``hasDeferrableConstraints``.
    package static func readHasDeferrableConstraints(
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> Bool {
        try await connection.rows(
            SidecarStatements.hasDeferrableConstraints, of: Bool.self, deadline: deadline
        ).one()
    }
}
