import GRDB

/// Makes rows of a table what the server's log says of them.
///
/// The usual rules apply what is fetched: pending edits stay, or meet it as a conflict. A row that
/// the log has nothing of, or only in an older version, is sent again and never deleted: it may be
/// the only copy.
struct Repairing {
    let session: SyncSession
    let table: TableSchema

    /// Rows that are fetched, and repaired in one transaction, however many differ. Reading the
    /// whole log again instead would act on rows that do not differ: it takes values back that the
    /// app gave rows for this device only.
    private static let rowsAtOnce = 200

    /// - Parameters:
    ///   - keys: of the rows that differ.
    ///   - head: the end of the log that was compared.
    ///   - history: the change there.
    ///   - repaired: grows by the rows that are repaired.
    /// - Throws: `SyncError`; `Comparing.Moved` if the log has grown meanwhile.
    func run(
        _ keys: [DeviceRowKey], _ head: Int64, _ history: HistoryPair?, _ repaired: inout Int
    ) async throws {
        var rest = keys[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(Self.rowsAtOnce))
            rest = rest.dropFirst(part.count)
            let pages = try await fetch(part, head, history, compares: false)
            let summary = try await apply(pages, part, head, history)
            repaired += part.count
            session.board.post(
                summary.reports.map(SyncEvent.conflict) + summary.rejected.map(SyncEvent.rejected))
        }
    }

    /// The newest changes of rows.
    ///
    /// - Parameter compares: whether they are compared, and not known to differ.
    /// - Throws: `SyncError`; `Comparing.Moved` if the log does not end at `head`.
    func fetch(
        _ keys: [DeviceRowKey], _ head: Int64, _ history: HistoryPair?, compares: Bool
    ) async throws -> [DownloadPage] {
        var pages: [DownloadPage] = []
        while pages.last?.hasMore ?? true {
            let after = pages.last?.nextAfter ?? 0
            let page = try await session.gateway.rows(
                keys, of: table.wireName, after: after, history: history, compares: compares)
            guard page.windowUntil == head, page.history == history else {
                throw Comparing.Moved()
            }
            if page.hasMore, page.nextAfter <= after {
                throw SyncError.notTheGateway("rows that do not advance the cursor")
            }
            pages.append(page)
        }
        return pages
    }

    private func apply(
        _ pages: [DownloadPage], _ keys: [DeviceRowKey], _ head: Int64, _ history: HistoryPair?
    ) async throws -> PageApplier.Summary {
        var holdBack: PageApplier.HoldBack = []
        while true {
            do {
                return try await transaction(pages, keys, holdBack, head, history)
            } catch Fetching.Undone.openRows(let rows) {
                guard !rows.isEmpty else {
                    throw SyncError.database("a foreign key of this database remains violated")
                }
                holdBack.formUnion(rows)
            }
        }
    }

    private func transaction(
        _ pages: [DownloadPage], _ keys: [DeviceRowKey], _ holdBack: PageApplier.HoldBack,
        _ head: Int64, _ history: HistoryPair?
    ) async throws -> PageApplier.Summary {
        let (catalog, outcomes, table) = (session.catalog, session.outcomes, table)
        return try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            guard DigestRules.isComparable(state, head: head, history) else {
                throw Comparing.Moved()
            }
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            let log = ChangeLog(db: db, catalog: catalog)
            try log.fold()
            try forgetMissing(in: pages, db)
            try UnseenRows(db: db).begin(with: keys, of: table)
            var applier = try PageApplier(
                db, catalog, ownSource: state.sourceID, holdBack: holdBack,
                reread: Reread.ofRows(db, catalog))
            try ApplyMode(db: db).during {
                for page in pages { try applier.apply(page) }
                try applier.finish(isEnd: true, mayWait: false)
            }
            let lost = try log.fold()
            if db.hasOpenForeignKeys {
                throw Fetching.Undone.openRows(try applier.openRows(in: pages))
            }
            var summary = applier.summary
            summary.reports += lost.map(ConflictReport.init(lost:))
            try ConflictBook(db: db).record(summary.reports)
            outcomes.record(applier.outcomes + lost.map(RowOutcome.init(lost:)), with: db)
            return summary
        }
    }

    /// Forgets rows that the server has and this device has not, though nobody has deleted them
    /// here since: they are written as new ones. Nothing is deleted on the server for the sake of
    /// this device's books.
    private func forgetMissing(in pages: [DownloadPage], _ db: Database) throws {
        let known = try KnownRows(db: db)
        for change in pages.lazy.flatMap(\.changes) where !change.isDelete {
            guard let key = table.keyForm.key(fromWire: change.key),
                let entry = try known.find(table, key), entry.row.version >= change.version,
                try PendingQueue(db: db).row(table, key) == nil
            else { continue }
            let local = table.keyForm.spelled(entry.spelling, for: key)
            if try entry.row.isDeleted || LocalRow(db: db, table: table).values(local) == nil {
                try known.forget(table, key)
            }
        }
    }
}
