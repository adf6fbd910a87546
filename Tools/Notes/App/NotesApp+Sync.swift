import GRDB
import OverSQLite

/// What the app shows of sync, and does about rejected changes.
extension NotesApp {
    /// Seconds that quitting waits for the server to take what is left.
    private static let farewell = 5

    /// Reads the rows again, and shows what other devices have changed.
    func look() async throws {
        let now = try await database.write { try Notebook.read($0) }
        tellArrivals(now)
        seen = now
    }

    func tellArrivals(_ now: Notebook) {
        let lines = Arrivals(before: seen, now: now).lines
        if !lines.isEmpty { screen.say(lines.map { "* \($0)" }, .news) }
    }

    func notice(_ status: SyncStatus) {
        let before = standing
        standing.status = status
        if let news = standing.news(since: before) { screen.say("! \(news)", .warning) }
    }

    func tell(_ event: SyncEvent) async throws {
        switch event {
        case .conflict(let report): try await tell(report)
        case .rejected(let row): screen.say(lines(for: row), .warning)
        case .reread(let report):
            screen.say(
                "! the notes were read again from the start (\(report.reason.rawValue)): "
                    + "\(Words.count(report.resentRows, "row")) sent again, \(report.removedRows) removed",
                .warning)
        case .drift(let report):
            screen.say(
                "! \(Words.count(report.rows, "row")) of \(report.table) differed from the server: "
                    + "\(report.repaired) repaired", .warning)
        case .access(let report):
            screen.say(
                "! you may read other tables: \(report.opened) opened, \(report.closed) closed, "
                    + "\(Words.count(report.removedRows, "row")) removed here", .warning)
        }
    }

    /// Keeps both sides of what clashed, for `conflicts`, and shows them.
    private func tell(_ report: ConflictReport) async throws {
        let (now, found) = try await database.write { db in
            let found = try Self.keep(report, db)
            return (try Notebook.read(db), found)
        }
        tellArrivals(now)
        seen = now
        let pages = Pages(book: now)
        for conflict in found {
            let lines = pages.conflict(conflict)
            screen.say(["! conflict in \(lines[0])"] + lines.dropFirst(), .warning)
        }
        if found.isEmpty { screen.say("! \(Self.words(report, now))", .warning) }
        try await engine.dismiss(report)
    }

    private static func keep(_ report: ConflictReport, _ db: Database) throws -> [FieldConflict] {
        var found: [FieldConflict] = []
        for field in report.columns {
            let there = try DatabaseValue.fetchOne(
                db,
                sql: """
                    SELECT \(field.quotedDatabaseIdentifier) FROM \(report.table.quotedDatabaseIdentifier)
                    WHERE id = ?
                    """, arguments: [report.key])
            guard let here = report.lost[field], let there else { continue }
            let conflict = FieldConflict(
                id: report.key, field: field, here: text(here), there: text(there))
            try conflict.insert(db)
            found.append(conflict)
        }
        return found
    }

    private static func text(_ value: DatabaseValue) -> String {
        String.fromDatabaseValue(value) ?? "\(value)"
    }

    /// A conflict in which no field has two values.
    private static func words(_ report: ConflictReport, _ book: Notebook) -> String {
        let number = book.number(report.key)
        let name = book.entry(number).map { Words.entry($0, book) } ?? "number \(number)"
        return switch report.outcome {
        case .merged:
            "\(name) was changed here and on another device, in different fields: both are kept"
        case .keptClient: "\(name) was removed on another device, but changed here: it stays"
        case .tookServer: "\(name) was changed on another device, so it is not removed"
        case .removedWithParent: "\(name) was removed with its note, on another device"
        }
    }

    // MARK: Rejected changes

    func showRejected() async throws {
        let rows = try await engine.rejectedChanges
        screen.say(rows.isEmpty ? ["nothing is rejected"] : rows.flatMap { lines(for: $0) })
    }

    func retry(_ number: Int) async throws {
        try await engine.retry(try await rejected(number))
        screen.say("\(number) is sent again")
    }

    func discard(_ number: Int) async throws {
        try await engine.discard(try await rejected(number))
        // The row is back as it was: the user asked for it, so it is no news.
        seen = try await database.write { try Notebook.read($0) }
        screen.say("the change to \(number) is undone")
    }

    private func rejected(_ number: Int) async throws -> RejectedChange {
        let row = try await engine.rejectedChanges.first { seen.number($0.key) == number }
        guard let row else {
            throw Command.Misunderstood(
                advice: "\(number) is not rejected; `rejected` shows what is")
        }
        return row
    }

    private func lines(for row: RejectedChange) -> [String] {
        let number = seen.number(row.key)
        let name = seen.entry(number).map { Words.entry($0, seen) } ?? "number \(number)"
        return [
            "! \(name) was rejected: \(Words.printable(row.message ?? row.reason))",
            "  change it and it is sent again, or take the change back with `discard \(number)`",
        ]
    }

    // MARK: Exchange

    /// Exchanges everything once.
    ///
    /// - Returns: why not, if it did not work.
    func exchange() async -> SyncError? {
        do {
            try await engine.syncChanges()
            return nil
        } catch let error as SyncError {
            return error
        } catch {
            return .unreachable("given up")
        }
    }

    func tellSynced(_ error: SyncError?) {
        if let error { return screen.say("! \(Words.trouble(error))", .warning) }
        standing.status = engine.status
        screen.say(standing.outcome)
    }

    /// Sends what is left, if that can be done soon, and says how things stand.
    func leave() async throws {
        await engine.stop()
        if !standing.isOffline {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await self.exchange() }
                group.addTask { try? await Task.sleep(for: .seconds(Self.farewell)) }
                await group.next()
                group.cancelAll()
            }
        }
        try await recount()
        screen.say(standing.farewell)
    }

    /// Counts what waits in the database: the engine's status follows writes with a delay.
    func recount() async throws {
        let (waiting, rejected) = (
            try await engine.pendingChanges().count, try await engine.rejectedChanges.count
        )
        standing.status = engine.status
        standing.status.pendingCount = waiting
        standing.status.rejectedCount = rejected
    }
}
