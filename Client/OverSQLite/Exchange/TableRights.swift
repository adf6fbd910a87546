import GRDB

/// Follows the tables that the user may read on this device: a token may have other roles, and the
/// server's configuration may change.
struct TableRights {
    let session: SyncSession

    /// Asks which tables the user may read, and takes that up.
    ///
    /// - Parameter told: what an answer has said of them.
    /// - Returns: false if the server does not name them.
    /// - Throws: `SyncError`.
    func meet(_ told: TablesFingerprint) async throws -> Bool {
        let before = try await session.read { db in try DeviceStateTable(db: db).read().tables }
        let found = try await session.askForCapabilities(told: told)
        guard let readable = found.readable, let tables = found.fingerprint else { return false }
        let given = session.configuration.schema
        let schema = given.isEmpty ? "public" : given
        let names = Set(readable)
        let unread = session.catalog.tables.map(\.wireName)
            .filter { !names.contains("\(schema).\($0)") }
        guard let others = try await others(unread, tables) else { return true }
        let report = try await change { change, state in
            // Another engine on the database may have asked, too, and later.
            guard state.tables == before else { return nil }
            return try change.apply(tables, others: others)
        }
        // A server's first answer takes nothing away, so it is not news.
        if let report = report?.report, report.isNews, before != nil || report.removedRows > 0 {
            session.board.post([.access(report)])
        }
        return true
    }

    /// Asks which tables the server has, of those whose rows the user does not get. One that it
    /// does not have is not closed: a server that was restored may lack it, and the rows here be
    /// the only ones.
    ///
    /// - Returns: nil if the answers are of other tables than were told.
    private func others(
        _ names: [String], _ tables: TablesFingerprint
    ) async throws -> AccessChange.OtherTables? {
        var others = AccessChange.OtherTables(closed: Set(names))
        var rest = names[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(OpenedTables.mostNamed))
            rest = rest.dropFirst(part.count)
            let answer = try await session.gateway.capabilities(tables: tables, of: part)
            guard let answer, answer.fingerprint == tables, let absent = answer.unregistered else {
                return nil
            }
            others.closed.subtract(absent)
            others.absent.formUnion(absent)
        }
        return others
    }

    /// Removes what of closed tables had to stay so far.
    ///
    /// - Returns: whether tables must be read now, including those that lost rows.
    func removeRest() async throws -> Bool {
        let catalog = session.catalog
        let haveRows = try await session.read { db in
            try ClosedTables(db: db, catalog: catalog).haveRows()
        }
        guard haveRows, let found = try await change({ change, _ in try change.removeRest() })
        else { return false }
        if found.report.isNews { session.board.post([.access(found.report)]) }
        return found.begins
    }

    /// - Returns: nil if `body` changes nothing.
    private func change(
        _ body: @escaping @Sendable (AccessChange, DeviceState) throws -> AccessChange.Effect?
    ) async throws -> (report: AccessReport, begins: Bool)? {
        let (catalog, outcomes, now) = (session.catalog, session.outcomes, session.now)
        let found = try await session.write { db -> (AccessReport, [ConflictReport], Bool)? in
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            guard let result = try body(AccessChange(db: db, catalog: catalog, now: now), state)
            else { return nil }
            let reports = result.lost.map(ConflictReport.init(lost:))
            try ConflictBook(db: db).record(reports)
            outcomes.record(result.lost.map(RowOutcome.init(lost:)), with: db)
            return (result.report, reports, result.begins)
        }
        guard let (report, conflicts, begins) = found else { return nil }
        session.board.post(conflicts.map(SyncEvent.conflict))
        return (report, begins)
    }
}
