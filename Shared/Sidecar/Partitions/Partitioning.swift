import Model
import Postgres

/// Splits the log and the states of rows by user into partitions (`oversync migrate --partitions`),
/// or puts them together again. See `Docs/operations/partitions.md`.
///
/// One transaction copies the rows into new tables: whatever ends it before its commit leaves the
/// former ones. Services are stopped meanwhile, and writes of back ends to registered tables wait.
package struct Partitioning: Sendable {
    /// How many partitions there may be; 1 is a table without any. Most statements of the services
    /// lock all of them for a moment.
    package static let counts = 1...64
    /// Copied in one statement: 32 MiB. Progress is reported between two statements.
    private static let pagesPerStatement: Int64 = 4096
    /// Between two attempts to lock the tables: transactions that waited for an attempt continue
    /// meanwhile.
    private static let lockPause = Duration.seconds(1)
    /// Longest wait for the first table's lock. After PostgreSQL's `deadlock_timeout` an autovacuum
    /// that is in the way is ended.
    private static let lockSeconds = 2

    /// How many pages are copied, of how many.
    package typealias Progress = (_ done: Int64, _ total: Int64) -> Void

    let count: Int
    /// Longest wait for back ends that are writing.
    let lockTimeout: Duration

    /// - Parameter count: one of ``counts``.
    package init(count: Int, lockTimeout: Duration = .seconds(30)) {
        self.count = count
        self.lockTimeout = lockTimeout
    }

    /// How many partitions a database has; nil if its tables differ.
    package static func current(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> Int? {
        let counts = Set(
            try await connection.run(PartitionStatements.ReadCounts()).all().map(\.partitions))
        return counts.count == 1 ? counts.first.map { Int($0) } : nil
    }

    /// Refuses what ``apply(in:report:progress:)`` would refuse. The layout need not be there yet.
    ///
    /// - Parameter isPlan: nothing is to be converted yet, so services may run.
    /// - Returns: the sessions of services.
    @discardableResult
    package func check(
        on connection: PostgresConnection, isPlan: Bool = false
    ) async throws -> [String] {
        guard Self.counts.contains(count) else { throw PartitionError.count(count) }
        // Before that there are no records of roles, and no layout for which this can be said.
        guard try await Migrator(connection: connection).status().version >= Self.firstLayout,
            try await Self.current(on: connection) != count
        else { return [] }
        let services = try await connection.run(PartitionStatements.ReadServices()).all()
        guard isPlan || services.isEmpty else { throw PartitionError.services(services) }
        let obstacles = try await connection.run(PartitionStatements.ReadObstacles()).all()
        guard obstacles.isEmpty else { throw PartitionError.obstacles(obstacles) }
        return services
    }

    private static let firstLayout = 10

    /// Converts the tables unless they are as asked for. The last step of a run: no later one may
    /// need its effect, for a rehearsal only records it.
    ///
    /// - Parameter report: gets a line before the work begins, with the room that it takes.
    /// - Throws: `PartitionError`; `PostgresError`. The tables are as they were then.
    package func apply(
        in run: MigrationRun, report: (String) -> Void, progress: Progress = { _, _ in }
    ) async throws {
        guard try await Self.current(on: run.connection) != count else { return }
        let services = try await check(on: run.connection, isPlan: run.isRehearsal)
        let begin = ContinuousClock.now
        // A waiter must hold nothing that others want, or PostgreSQL would end one of them. So
        // the tables take turns to be the one that is waited for.
        var order = PartitionStatements.tables
        while true {
            do {
                try await convert(in: run, locking: order, services, report, progress)
                break
            } catch let error as PostgresError
                where [.lockNotAvailable, .deadlockDetected].contains(error.sqlState)
            {
                guard .now - begin < lockTimeout else {
                    throw PartitionError.locked(await holders(on: run.connection))
                }
                order.reverse()
                try await Task.sleep(for: Self.lockPause)
            }
        }
        if run.isRehearsal { return }
        let seconds = (ContinuousClock.now - begin).components.seconds
        report("the log and the states of rows are \(words) now (\(seconds) s)")
    }

    private var words: String { count == 1 ? "one table each" : "in \(count) partitions each" }

    private func convert(
        in run: MigrationRun, locking order: [String], _ services: [String],
        _ report: (String) -> Void, _ progress: Progress
    ) async throws {
        let connection = run.connection
        try await run.transaction {
            try await run.set("SET LOCAL statement_timeout = 0")
            try await run.set("SET LOCAL lock_timeout = '\(Self.lockSeconds) s'")
            let path = "SET LOCAL search_path = pg_catalog, pg_temp"
            try await run.set(path)
            // Definitions must name schemas in a rehearsal, too.
            if run.isRehearsal { try await connection.execute(script: path) }
            for (place, table) in order.enumerated() {
                let patience = place == 0 ? "" : " NOWAIT"
                try await run.set("LOCK TABLE sync.\(table) IN ACCESS EXCLUSIVE MODE\(patience)")
            }
            let plan = PartitionPlan(
                count: count,
                leaves: try await connection.run(PartitionStatements.ReadLeaves()).all(),
                remakings: try await connection.run(PartitionStatements.ReadRemakings()).all())
            let estimate = Self.estimate(plan)
            if !run.isRehearsal { report(estimate) }
            run.mention(
                Self.remark(estimate, services), for: "Converts the log and the states of rows")
            for step in plan.beginning { try await execute(step, in: run) }
            try await copy(plan, in: run, progress)
            for step in plan.ending { try await execute(step, in: run) }
        }
    }

    private func execute(
        _ step: PartitionPlan.Step, in run: MigrationRun
    ) async throws(PostgresError) {
        try await run.execute(step.sql, for: step.purpose, isRehearsed: false)
    }

    private func copy(
        _ plan: PartitionPlan, in run: MigrationRun, _ progress: Progress
    ) async throws {
        let total = plan.copies.reduce(0) { $0 + $1.pages }
        var done: Int64 = 0
        for part in plan.copies {
            run.mention(
                part.sql() + ";",
                for: "Copies \(part.from), \(part.pages) pages, in parts of "
                    + "\(Self.pagesPerStatement)")
            guard !run.isRehearsal else { continue }
            for first in stride(from: 0, to: part.pages, by: Int(Self.pagesPerStatement)) {
                try Task.checkCancellation()
                let end = min(first + Self.pagesPerStatement, part.pages)
                try await run.connection.execute(script: part.sql(pages: first..<end))
                progress(done + end, total)
            }
            done += part.pages
        }
    }

    private static func estimate(_ plan: PartitionPlan) -> String {
        "about \(plan.rows) changes and their rows' states, \(megabytes(plan.bytes)): until the "
            + "end they take as much room again on PostgreSQL's disk, and up to as much for WAL"
    }

    private static func megabytes(_ bytes: Int64) -> String {
        "\((bytes + (1 << 20) - 1) >> 20) MiB"
    }

    private static func remark(_ estimate: String, _ services: [String]) -> String {
        let connected =
            services.isEmpty
            ? "" : "\n-- Connected now: \(services.map(printable).joined(separator: ", "))."
        return """
            -- One transaction: a failure or a kill leaves the former tables.
            -- Locks: ACCESS EXCLUSIVE on sync.change_log and sync.row_state, and on the views that
            -- read them, until the end. Services must be stopped; writes of back ends to registered
            -- tables wait.
            -- \(estimate).\(connected)
            """
    }

    private func holders(on connection: PostgresConnection) async -> String {
        var found: [String] = []
        for table in PartitionStatements.tables {
            var bindings = Bindings()
            bindings.bind("sync.\(table)")
            let command = Command(SidecarStatements.lockHolders, bindings)
            let holders = try? await connection.rows(command) { columns throws(PostgresError) in
                try columns.next(String?.self)
            }.one()
            if let text = holders ?? nil { found.append("\(table): \(shown(text))") }
        }
        return found.joined(separator: "; ")
    }
}

/// Why tables are not split. All is as it was.
package enum PartitionError: Error, Hashable, CustomStringConvertible {
    case count(Int)
    /// The names of sessions.
    case services([String])
    /// Objects that would be lost.
    case obstacles([String])
    /// Who has locks.
    case locked(String)

    package var description: String {
        switch self {
        case .count(let count):
            "--partitions \(count): use \(Partitioning.counts.lowerBound) to "
                + "\(Partitioning.counts.upperBound)"
        case .services(let names):
            "services are connected (\(names.map(printable).joined(separator: ", "))): stop Upload "
                + "and Download, then run it again. Nothing has changed"
        case .obstacles(let objects):
            "the tables cannot be exchanged because of: "
                + "\(objects.map(shown).joined(separator: "; ")). Nothing has changed"
        case .locked(let holders):
            "sync.change_log or sync.row_state stayed locked"
                + (holders.isEmpty ? "" : ", by \(holders)")
                + ": end or await what uses them, then run it again. Nothing has changed"
        }
    }
}

/// Words of PostgreSQL's with names between them: no name forges a line.
private func shown(_ text: String) -> String {
    text.split(separator: " ").map { printable(String($0)) }.joined(separator: " ")
}
