import GRDB

/// Fetches and sends, after checking that the device and the server share the same epoch.
struct Exchange {
    let session: SyncSession

    /// Downloads the log to its end. Rereads it from its start if the server cannot serve the
    /// cursor.
    ///
    /// - Parameter isFresh: see ``Fetching/isFresh``.
    func fetch(isFresh: Bool = false) async throws {
        try await orient()
        // Before the first page: which values a column gives back depends on the server's type.
        await session.lookAtTables()
        // So that there are some when the first sync is over.
        await session.leaseKeys()
        var fetching = Fetching(session: session, isFresh: isFresh)
        var (rereads, changes) = (0, 0)
        while true {
            do {
                try await fetching.run()
                guard try await TableRights(session: session).removeRest() else {
                    session.namesNoTables = fetching.takesAnyTables
                    return
                }
            } catch let error as SyncError where error.asksForReread && rereads < Self.mostRereads {
                rereads += 1
                try await reread(error)
            } catch let others as Fetching.OtherTables {
                guard changes < Self.mostTableChanges else {
                    throw SyncError.busy(retryAfter: Self.pauseWhenTablesChange)
                }
                changes += 1
                fetching.takesAnyTables = try await !TableRights(session: session)
                    .meet(others.told)
            }
        }
    }

    /// Changes of the tables that the user may read which one download follows. Where replicas of
    /// the server say different things for longer, it goes on later.
    private static let mostTableChanges = 4
    /// Seconds until then: replicas take up a changed configuration within five.
    private static let pauseWhenTablesChange = 5

    /// Rereads that one download may begin: after a cursor that the server cannot serve any more
    /// may be a change that it cannot prove any more.
    private static let mostRereads = 2

    /// Sends what may be sent now. On a device that is not hydrated yet, it fetches first.
    func send() async throws -> Sending.Outcome {
        try await orient()
        if try await !state().isHydrated { try await fetch() }
        do {
            return try await Sending(session: session).run()
        } catch let error as SyncError where error.historyFinding == .unproven {
            // A download looks first whether the device was away for too long.
            try await fetch()
        } catch let error as SyncError where error.asksForReread {
            try await reread(error)
            try await fetch()
        }
        do {
            return try await Sending(session: session).run()
        } catch let error as SyncError where error.historyFinding == .unproven {
            // The download asked for no proof: the device was reading the log again.
            try await reread(error)
            try await fetch()
            return try await Sending(session: session).run()
        }
    }

    /// Asks the server once per process what it knows about this device.
    private func orient() async throws {
        guard session.epoch.current == .unknown else { return }
        let state = try await state()
        let told = state.history
        guard
            let standing = try await session.gateway.bootstrap(
                history: told, tables: state.tables)
        else {
            session.epoch.current = .none
            return
        }
        try await meet(standing, told)
        if let tables = standing.tables, tables != state.tables {
            // If this fails, the first page says the same.
            _ = try? await TableRights(session: session).meet(tables)
        }
    }

    /// - Parameter told: the pair that the request sent.
    private func meet(_ standing: Standing, _ told: HistoryPair?) async throws {
        let (catalog, now) = (session.catalog, session.now)
        let finding = try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            let finding = standing.compare(with: state, told: told)
            switch finding {
            case .asBefore:
                try DeviceStateTable(db: db).setEpoch(standing.epoch)
            case .otherHistory(let history):
                try DeviceStateTable(db: db).setEpoch(standing.epoch)
                try Self.begin(for: history, db, catalog, now: now)
            case .deviceRestored:
                try DeviceStateTable(db: db).continueFrom(standing)
            case .newHistory:
                try ChangeLog(db: db, catalog: catalog).fold()
                try Reread(db: db, catalog: catalog, reason: .newHistory)
                    .begin(epoch: standing.epoch)
            }
            return finding
        }
        session.epoch.current = .known(standing.epoch)
        try await showBeginning(standing)
        if finding == .deviceRestored {
            session.board.post([
                .reread(RereadReport(reason: .deviceRestored, resentRows: 0, removedRows: 0))
            ])
        }
    }

    /// Shows how much there is to download, before the first page arrives.
    private func showBeginning(_ standing: Standing) async throws {
        let start = try await Fetching.start(session)
        guard !start.isHydrated else { return }
        session.board.update {
            $0.progress = start.progress(at: start.cursor, of: standing.highest, applied: 0)
        }
    }

    /// Starts to reread the log because the server's history is another one, or may be, unless such
    /// a reread began a moment ago.
    ///
    /// - Returns: whether the next request may be answered.
    @discardableResult
    private static func begin(
        for finding: HistoryFinding, _ db: Database, _ catalog: DeviceCatalog, now: Double
    ) throws -> Bool {
        let table = DeviceStateTable(db: db)
        let state = try table.read()
        switch HistoryRules.decide(
            finding, isRereading: state.reread != nil, lastReread: state.forkedAt, now: now)
        {
        case .wait: return false
        case .forget:
            try table.forgetHistory()
            return true
        case .reread:
            try ChangeLog(db: db, catalog: catalog).fold()
            try Reread(db: db, catalog: catalog, reason: .newHistory).begin(epoch: nil)
            try table.setForked(at: now)
            return true
        }
    }

    /// Starts to reread the log, for the reason that the error gives.
    ///
    /// - Throws: the error itself if no reread may begin now.
    private func reread(_ found: SyncError) async throws {
        let error = try await atCursorOfAll(found)
        if error.isOfAnotherHistory {
            session.epoch.current = .unknown
            return try await orient()
        }
        let (catalog, now) = (session.catalog, session.now)
        if let finding = error.historyFinding {
            let mayGoOn = try await session.write { db in
                try Self.begin(for: finding, db, catalog, now: now)
            }
            if !mayGoOn { throw error }
            return
        }
        try await session.write { db in
            try ChangeLog(db: db, catalog: catalog).fold()
            try Reread(db: db, catalog: catalog, reason: .historyPruned).begin(epoch: nil)
        }
    }

    /// What the server says to the cursor up to which all tables are read, where opened tables are
    /// being read from the log's start: whether the device was away for too long shows only there.
    private func atCursorOfAll(_ error: SyncError) async throws -> SyncError {
        let state = try await state()
        guard state.resumeAt > 0, error.historyFinding == .unproven else { return error }
        do {
            try await session.showCursorOfAll(state)
            return error
        } catch let other as SyncError where other.asksForReread {
            return other
        }
    }

    private func state() async throws -> DeviceState {
        try await session.read { db in try DeviceStateTable(db: db).read() }
    }
}

extension SyncSession {
    /// Fetches. The caller holds the lock.
    ///
    /// - Parameter isFresh: see ``Fetching/isFresh``.
    func fetch(isFresh: Bool = false) async throws {
        board.update { $0.state = .fetching }
        try await Exchange(session: self).fetch(isFresh: isFresh)
        await lookAtTables()
        await compareIfDue()
    }

    /// Sends. The caller holds the lock.
    func send() async throws -> Sending.Outcome {
        board.update { $0.state = .sending }
        let outcome = try await Exchange(session: self).send()
        await leaseKeys()
        return outcome
    }
}

extension SyncError {
    /// Whether the server cannot serve this device's cursor, so that the log must be reread.
    var asksForReread: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return code == RereadReason.historyPruned.rawValue || isOfAnotherHistory
            || historyFinding != nil
    }

    /// What the server says of the history that the device knows, if that is why it refuses.
    var historyFinding: HistoryFinding? {
        guard case .refused(_, let code, _) = self else { return nil }
        return switch code {
        case "history_forked": .forked
        case "history_unproven": .unproven
        default: nil
        }
    }

    var isOfAnotherHistory: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return ["epoch_changed", "checkpoint_ahead"].contains(code)
    }
}
