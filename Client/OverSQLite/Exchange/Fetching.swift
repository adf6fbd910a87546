import GRDB

/// Downloads the log to its current end. Each page and the cursor after it commit together.
struct Fetching {
    let session: SyncSession
    /// The app asked for it, and expects what was committed before: the server answers from its
    /// database and not from memory, and a download that was interrupted goes on beyond its end.
    var isFresh = false
    /// The server does not name the tables that the user may read, whatever its pages say.
    var takesAnyTables = false

    /// Thrown for a page that is of other tables than this device takes for readable. Nothing of it
    /// is applied.
    struct OtherTables: Error {
        let told: TablesFingerprint
    }

    /// The result of trying to apply the pages that were downloaded and are not applied yet.
    private enum Outcome: Sendable {
        case applied(PageApplier.Summary)
        /// A row's parent is missing; the next page may contain it.
        case needsNextPage
        /// Another engine on the database has moved the cursor or started over, so these pages are
        /// outdated.
        case outdated
    }

    /// Thrown to roll back a transaction that would leave rows without their parents.
    enum Undone: Error {
        case needsNextPage
        case openRows(PageApplier.HoldBack)
    }

    /// - Returns: the number of rows applied.
    /// - Throws: `SyncError`. Pages applied before the error stay applied.
    @discardableResult
    func run() async throws -> Int {
        var applied = 0
        var staged: [DownloadPage] = []
        var hasNewWindow = false
        let start = try await Self.start(session)
        while true {
            let (state, names) = try await state()
            if staged.isEmpty, state.cursor == 0 { try await session.showCursorOfAll(state) }
            let window = staged.last?.windowUntil ?? state.window
            let until = state.resumeAt > 0 ? state.resumeAt : window
            hasNewWindow = hasNewWindow || until == 0
            let page = try await next(after: staged.last, until: until, state, names)
            if let told = page.tables, told != state.tables, !takesAnyTables {
                throw OtherTables(told: told)
            }
            staged.append(page)
            switch try await apply(staged, requestedBy: state) {
            case .needsNextPage: continue
            case .outdated:
                staged = []
                continue
            case .applied(let summary):
                staged = []
                applied += summary.applied
                report(summary, page, from: start, applied: applied)
            }
            let isOfOpened = state.resumeAt > 0
            if !page.hasMore, !isOfOpened, hasNewWindow || !isFresh { break }
        }
        session.board.update { $0.progress = nil }
        try await session.refreshCounts(confirming: .all)
        return applied
    }

    /// Where a download starts.
    struct Start: Sendable {
        let isHydrated: Bool
        let cursor: Int64
        /// Rows that this download applied before a relaunch.
        let earlierRows: Int

        /// - Parameters:
        ///   - position: the sequence of the last change read.
        ///   - end: the sequence of the last change there is.
        ///   - applied: rows applied since the start.
        func progress(at position: Int64, of end: Int64, applied: Int) -> SyncStatus.Progress {
            let origin = isHydrated ? cursor : 0
            var progress = SyncStatus.Progress()
            progress.appliedRows = earlierRows + applied
            progress.completedUnitCount = max(position, origin) - origin
            progress.totalUnitCount = max(end, origin) - origin
            progress.isFirstSync = !isHydrated
            return progress
        }
    }

    static func start(_ session: SyncSession) async throws -> Start {
        try await session.read { db in
            let state = try DeviceStateTable(db: db).read()
            let goesOn = !state.isHydrated && state.cursor > 0 && state.reread == nil
            let rows =
                goesOn ? try Int.fetchOne(db, sql: "SELECT count(*) FROM _sync_rows") ?? 0 : 0
            return Start(isHydrated: state.isHydrated, cursor: state.cursor, earlierRows: rows)
        }
    }

    /// The device's state, and the names of the tables to ask for; nil for all.
    private func state() async throws -> (DeviceState, [String]?) {
        let catalog = session.catalog
        return try await session.read { db in
            let state = try DeviceStateTable(db: db).read()
            return (state, try OpenedTables(db: db).names(catalog, state))
        }
    }

    private func next(
        after staged: DownloadPage?, until: Int64, _ state: DeviceState, _ names: [String]?
    ) async throws -> DownloadPage {
        let after = staged?.nextAfter ?? state.cursor
        let page = try await session.gateway.download(
            after: after, limit: session.configuration.pageLimit,
            until: until, includeSelf: !state.isHydrated || state.resumeAt > 0,
            isFresh: isFresh && until == 0, history: staged?.history ?? state.history,
            tables: state.tables, only: names)
        // With a cursor that does not advance, the loop would request the same page forever.
        if page.nextAfter < after || page.hasMore && page.nextAfter == after {
            throw SyncError.notTheGateway("a page that does not advance the cursor")
        }
        return page
    }

    /// - Parameter asked: the device's state when the pages were requested.
    private func apply(
        _ pages: [DownloadPage], requestedBy asked: DeviceState
    ) async throws -> Outcome {
        var holdBack: PageApplier.HoldBack = []
        let rows = pages.reduce(0) { $0 + $1.changes.count }
        let mayWait = pages.last?.hasMore == true && rows < session.configuration.stagedRowLimit
        while true {
            do {
                return try await transaction(
                    pages, requestedBy: asked, holdBack: holdBack, mayWait: mayWait)
            } catch Undone.needsNextPage {
                return .needsNextPage
            } catch Undone.openRows(let rows) {
                guard !rows.isEmpty else {
                    throw SyncError.database("a foreign key of this database remains violated")
                }
                holdBack.formUnion(rows)
            }
        }
    }

    private func transaction(
        _ pages: [DownloadPage], requestedBy asked: DeviceState,
        holdBack: PageApplier.HoldBack, mayWait: Bool
    ) async throws -> Outcome {
        let (catalog, outcomes) = (session.catalog, session.outcomes)
        return try await session.write { db in
            guard let first = pages.first, let last = pages.last else { return .outdated }
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            let areOfTheseTables = pages.allSatisfy {
                $0.tables == nil || $0.tables == state.tables
            }
            guard state.cursor == first.after, state.isHydrated == asked.isHydrated,
                state.resumeAt == asked.resumeAt, areOfTheseTables || takesAnyTables
            else { return .outdated }
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            let log = ChangeLog(db: db, catalog: catalog)
            try log.fold()
            var applier = try PageApplier(
                db, catalog, ownSource: state.sourceID, holdBack: holdBack,
                reread: Reread.current(db, catalog, state))
            try ApplyMode(db: db).during {
                for page in pages { try applier.apply(page) }
                try applier.finish(isEnd: !last.hasMore, mayWait: mayWait)
            }
            if applier.wantsNextPage { throw Undone.needsNextPage }
            // Rows that a server's delete removed by a cascade become deletes to send: the server
            // may not know this device's foreign keys.
            let lost = try log.fold()
            if db.hasOpenForeignKeys {
                throw mayWait
                    ? Undone.needsNextPage : Undone.openRows(try applier.openRows(in: pages))
            }
            try DeviceStateTable(db: db).advance(
                over: last, highestOwnChange: applier.highestOwnChange)
            for page in pages { try DeviceStateTable(db: db).record(page.history) }
            var summary = applier.summary
            summary.reports += lost.map(ConflictReport.init(lost:))
            try ConflictBook(db: db).record(summary.reports)
            outcomes.record(applier.outcomes + lost.map(RowOutcome.init(lost:)), with: db)
            return .applied(summary)
        }
    }

    private func report(
        _ summary: PageApplier.Summary, _ page: DownloadPage, from start: Start, applied: Int
    ) {
        session.board.add(summary.altered.sorted().map(SyncNotice.altered))
        // A download that brings nothing new shows no progress.
        if page.hasMore || applied > 0 || !start.isHydrated {
            session.board.update {
                $0.progress = start.progress(
                    at: page.nextAfter, of: page.windowUntil, applied: applied)
            }
        }
        session.board.post(
            summary.reports.map(SyncEvent.conflict) + summary.rejected.map(SyncEvent.rejected)
                + (summary.reread.map { [.reread($0)] } ?? []))
    }
}

extension SyncSession {
    /// Shows the server the cursor up to which all tables are read, where opened tables are being
    /// read from the log's start. Only there it sees whether the device was away for too long: to
    /// one that begins at the log's start it owes no deletions of before.
    ///
    /// - Throws: the server's refusal as `SyncError`, which asks for a reread.
    func showCursorOfAll(_ state: DeviceState) async throws {
        guard state.resumeAt > 0 else { return }
        _ = try await gateway.download(
            after: state.resumeAt, limit: 1, until: 0, includeSelf: false,
            history: state.history, tables: state.tables)
    }
}
