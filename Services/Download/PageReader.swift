import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Waiting

/// Reads pages of change logs.
struct PageReader: Sendable {
    let pool: PostgresPool
    let source: CatalogSource
    var scopes = ScopeIDs()

    /// Reads the page after a cursor: in one round trip, unless it has large rows or changes of
    /// many devices, or the user's scope must be found first.
    ///
    /// - Throws: `RPCFailure` for a cursor or a device that is not served; `PostgresError`.
    func read(_ request: PageRequest, deadline: ContinuousClock.Instant) async throws -> Page {
        let catalog = try await source.catalog()
        do {
            return try await read(request, catalog, deadline).telling(catalog, to: request)
        } catch is UnknownTable {
            do {
                let newer = try await source.refresh()
                return try await read(request, newer, deadline).telling(newer, to: request)
            } catch let error as UnknownTable {
                throw PostgresError(
                    .decoding("a change of table \(error.id): the catalog has no such table"))
            }
        }
    }

    /// The state of a user's log, without any of it.
    ///
    /// - Parameters:
    ///   - pair: the pair that the device sent.
    ///   - tellsHistory: whether the tag of the log's end is asked for.
    func readScope(
        _ user: UserID, _ device: DeviceID, _ pair: HistoryPair? = nil, tellsHistory: Bool = false,
        deadline: ContinuousClock.Instant
    ) async throws -> ScopeReading {
        try await scopes.read(of: user, from: pool, deadline) { connection, scope in
            try await readScope(scope, device, pair, tellsHistory, connection, deadline)
        }
    }

    /// The page that a reading of a log's state is by itself: one without rows.
    ///
    /// - Parameter reading: with the device's pair, and the tag of the log's end.
    /// - Returns: nil if the log has more, or the window ends before the log does.
    /// - Throws: `RPCFailure` for a cursor that is not served.
    func emptyPage(
        for request: PageRequest, _ reading: ScopeReading
    ) throws(RPCFailure) -> Page? {
        let head = reading.state.head
        guard request.after >= head, request.window(of: reading.state) == head else { return nil }
        try request.cursor.check(reading)
        var page = Page(emptyFor: request, reading.state)
        page.tell(reading, to: request)
        page.tellTables(of: source.known, to: request)
        return page
    }

    /// - Returns: nil if the scope is not the user's.
    private func readScope(
        _ scope: NamedScope?, _ device: DeviceID, _ pair: HistoryPair?, _ tellsHistory: Bool,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws -> ScopeReading? {
        let statement = DownloadStatements.ReadScope(scope: scope, device: device)
        guard tellsHistory || pair != nil else {
            return try reading(
                try await connection.run(statement, deadline: deadline).all(), of: scope)
        }
        var pipeline = Pipeline()
        pipeline.add(DownloadStatements.begin)
        let asked = pipeline.add(statement)
        let history = pipeline.add(DownloadStatements.ReadHistory(scope: scope, pair: pair))
        pipeline.add(DownloadStatements.commit)
        let results = try await connection.run(pipeline, deadline: deadline)
        guard let reading = try reading(results[asked].all(), of: scope) else { return nil }
        return try reading.with(
            try results[history].one(), of: pair, window: reading.state.head)
    }

    /// Longest wait until this database shows what was written to the primary.
    private static let replayLimit = Duration.seconds(5)
    /// The pauses between two looks.
    private static let replayBackoff = Backoff(
        first: .milliseconds(20), longest: .milliseconds(320))

    /// Returns when this database shows the record that Upload has just made: the device's next page
    /// is read here too, and would be refused without it. A hot standby has to replay it first.
    ///
    /// - Parameter floor: that was recorded.
    /// - Throws: `RPCFailure.unavailable` when it does not come in time; `PostgresError`.
    func expectHydration(
        of user: UserID, _ device: DeviceID, from floor: Sequence64,
        deadline: ContinuousClock.Instant
    ) async throws {
        // Leaves time to answer.
        let end = min(ContinuousClock.now + Self.replayLimit, deadline - Self.replayBackoff.longest)
        var backoff = Self.replayBackoff
        while true {
            let recorded = try await readScope(user, device, deadline: deadline).hydratedFrom
            if let recorded, recorded >= floor { return }
            guard ContinuousClock.now < end else {
                throw RPCFailure.unavailable(
                    "The replica's database has not caught up with its primary; try again")
            }
            // PostgreSQL does not signal what a standby has replayed.
            try await Task.sleep(for: backoff.fail())
        }
    }

    private func read(
        _ request: PageRequest, _ catalog: Catalog, _ deadline: ContinuousClock.Instant
    ) async throws -> Page {
        try await scopes.read(of: request.user, from: pool, deadline) { connection, scope in
            guard let scope else {
                if request.proof != nil { throw StandbyProof.Missing() }
                guard
                    let reading = try await readScope(
                        nil, request.device, request.pair, false, connection, deadline)
                else { return nil }
                try request.cursor.check(reading)
                return Page(emptyFor: request, reading.state)
            }
            var request = request
            while true {
                do {
                    return try await page(of: scope, request, catalog, connection, deadline)
                } catch let part as PartOfAtomicUpload {
                    request.leaveOut(part)
                }
            }
        }
    }

    /// - Returns: nil if the scope is not the user's.
    private func page(
        of scope: NamedScope, _ request: PageRequest, _ catalog: Catalog,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws -> Page? {
        var pipeline = Pipeline()
        pipeline.add(DownloadStatements.begin)
        let asked = pipeline.add(
            DownloadStatements.ReadScope(
                scope: scope, device: request.device, names: SourceNames.alongWithPage))
        let range = range(
            scope, request, catalog, after: request.after, count: request.limit + 1)
        let page =
            range.isWhole
            ? pipeline.add(DownloadStatements.ReadWholePage(range: range))
            : pipeline.add(DownloadStatements.ReadPage(range: range))
        let history =
            request.tellsHistory || request.proof != nil
            ? pipeline.add(
                DownloadStatements.ReadHistory(
                    scope: scope, pair: request.pair,
                    until: request.proof?.end.sequence ?? request.until)) : nil
        pipeline.add(DownloadStatements.commit)
        let results = try await connection.run(pipeline, deadline: deadline)
        let scopeRows = try results[asked].all()
        guard var reading = try reading(scopeRows, of: scope) else { return nil }
        if let history {
            let found = try results[history].one()
            reading =
                try request.proof?.check(reading, found, request)
                ?? reading.with(
                    found, of: request.pair, window: request.window(of: reading.state))
        }
        try request.cursor.check(reading)
        var answer: Page
        if request.after < request.window(of: reading.state) {
            let rows = try results[page]
            // The event loop serves others while the rows of a large page become text.
            let isLarge = rows.count > Self.rowsOnEventLoop
            answer = try await withTaskExecutorPreference(isLarge ? globalConcurrentExecutor : nil)
            {
                [reading] in
                try await fill(
                    rows, scopeRows, reading, scope, request, catalog, connection, deadline)
            }
        } else {
            answer = Page(emptyFor: request, reading.state)
        }
        answer.tell(reading, to: request)
        // Where the log ends is the primary's to say: who waits for news waits for more than that.
        answer.scope = request.proof?.primary ?? answer.scope
        return answer
    }

    /// Rows of a page that are written on the event loop that the request came by, which takes some
    /// 100 µs. More of them would hold up all other requests of that loop. For a page of 100,
    /// another thread costs more than its rows.
    private static let rowsOnEventLoop = 250

    /// Writes the page that these rows are, and reads what they lack.
    private func fill(
        _ rows: Rows<PageRow>, _ scopeRows: [DownloadStatements.ReadScope.Row],
        _ reading: ScopeReading, _ scope: NamedScope, _ request: PageRequest, _ catalog: Catalog,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws -> Page {
        var names = SourceNames(scopeRows.lazy.compactMap(\.source))
        try await complete(&names, for: rows, scope, connection, deadline)
        if request.hidesOwnName { names.hide(request.device) }
        func filled(_ writer: some PageWriter) async throws -> Page {
            var filling = PageFilling(writer, request, reading.state)
            var readsOn = try filling.add(rows) == .largeRow
            if readsOn {
                try await addLargeRows(
                    to: &filling, names, scope, request, catalog, connection, deadline)
            }
            if filling.end < reading.atomicEnd,
                let upload = try await connection.run(
                    DownloadStatements.ReadAtomicUpload(scope: scope, end: filling.end),
                    deadline: deadline
                ).first()
            {
                names.learn(upload.device, of: upload.source)
                if request.hidesOwnName { names.hide(request.device) }
                try filling.goOn(to: upload, of: names.names[upload.source] ?? "")
                try await addLargeRows(
                    to: &filling, names, scope, request, catalog, connection, deadline)
                readsOn = true
            }
            if readsOn {
                try await expectNoCompaction(
                    since: reading.state, scope, request, connection, deadline)
            }
            return try filling.finish()
        }
        switch request.format {
        case .json:
            return try await filled(
                JSONPageWriter(
                    catalog: catalog, devices: names.names,
                    expecting: min(rows.count, request.limit)))
        case .protobuf:
            return try await filled(ProtobufPageWriter(catalog: catalog, devices: names.names))
        }
    }

    /// Reads the names that did not come along with the page.
    ///
    /// - Throws: `RPCFailure.unavailable` if the scope is not the user's any more.
    private func complete(
        _ names: inout SourceNames, for rows: Rows<PageRow>, _ scope: NamedScope,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws {
        let missing = try names.missing(in: rows)
        if missing.isEmpty { return }
        var answer = try await connection.run(
            DownloadStatements.ReadSourceNames(scope: scope, numbers: missing), deadline: deadline)
        if answer.isEmpty { throw RPCFailure.logReplaced }
        while let (number, device) = try answer.next() { names.learn(device, of: number) }
    }

    /// Ends the reading of further rows.
    private struct PageIsFull: Error {}

    /// Goes on row by row: at most one row is in memory in addition to the page.
    private func addLargeRows(
        to filling: inout PageFilling<some PageWriter>, _ names: SourceNames, _ scope: NamedScope,
        _ request: PageRequest, _ catalog: Catalog, _ connection: PostgresConnection,
        _ deadline: ContinuousClock.Instant
    ) async throws {
        let statement = DownloadStatements.ReadLargeRows(
            range: range(scope, request, catalog, after: filling.after, count: filling.room + 1))
        do {
            try await connection.stream(statement, deadline: deadline) { row in
                // A row that was no part of the page at first moves up where others are compacted.
                guard names.covers(row.origin.source) else { throw RPCFailure.logCompacted }
                guard try filling.add(whole: row) else { throw PageIsFull() }
            }
        } catch is PageIsFull {}
    }

    /// Large rows are read later than the floor that tells which deletes are still there.
    ///
    /// - Throws: `RPCFailure.unavailable` when it has been raised meanwhile: the page could lack one.
    private func expectNoCompaction(
        since before: ScopeState, _ scope: NamedScope, _ request: PageRequest,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws {
        let statement = DownloadStatements.ReadScope(scope: scope, device: request.device)
        let rows = try await connection.run(statement, deadline: deadline).all()
        guard let now = try reading(rows, of: scope)?.state else { throw RPCFailure.logReplaced }
        guard now.floor == before.floor, now.epoch == before.epoch else {
            throw RPCFailure.logCompacted
        }
    }

    private func range(
        _ scope: NamedScope, _ request: PageRequest, _ catalog: Catalog, after: Sequence64,
        count: Int
    ) -> PageRange {
        PageRange(
            scope: scope, after: after, until: request.end, count: count,
            tables: catalog.tables(for: request),
            excluding: request.includesOwn ? nil : request.device)
    }

    /// - Returns: nil if the scope is not the user's.
    /// - Throws: `RPCFailure.deviceRevoked`; `PostgresError` if there is no row, as after half a
    ///   restore.
    func reading(
        _ rows: [DownloadStatements.ReadScope.Row], of scope: NamedScope?
    ) throws -> ScopeReading? {
        guard let first = rows.first else {
            throw PostgresError(
                .decoding("the state of a log: sync.meta has no row"),
                statementName: DownloadStatements.ReadScope.statement.name)
        }
        if scope != nil, !first.isUsers { return nil }
        if rows.contains(where: \.isRevoked) { throw RPCFailure.deviceRevoked }
        return first.reading
    }
}

extension RPCFailure {
    fileprivate static let logCompacted = RPCFailure.unavailable(
        "The log was compacted while it was read; try again")
}
