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

    /// Reads the page after a cursor: in one round trip, unless it has large rows.
    ///
    /// - Throws: `RPCFailure` for a cursor or a device that is not served; `PostgresError`.
    func read(_ request: PageRequest, deadline: ContinuousClock.Instant) async throws -> Page {
        let catalog = try await source.catalog()
        do {
            return try await read(request, catalog, deadline)
        } catch is UnknownTable {
            do {
                return try await read(request, try await source.refresh(), deadline)
            } catch let error as UnknownTable {
                throw PostgresError(
                    .decoding("a change of table \(error.id): the catalog has no such table"))
            }
        }
    }

    /// The state of a user's log, without any of it.
    func readScope(
        _ user: UserID, _ device: DeviceID, deadline: ContinuousClock.Instant
    ) async throws -> ScopeReading {
        let statement = DownloadStatements.ReadScope(user: user, device: device)
        let rows = try await pool.withConnection(deadline: deadline) {
            try await $0.run(statement, deadline: deadline)
        }
        return try scope(try rows.all())
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
        try await pool.withConnection(deadline: deadline) { connection in
            var pipeline = Pipeline()
            pipeline.add(DownloadStatements.begin)
            let asked = pipeline.add(
                DownloadStatements.ReadScope(user: request.user, device: request.device))
            let page = pipeline.add(
                DownloadStatements.ReadPage(
                    range: range(
                        request, catalog, after: request.after, count: request.limit + 1)))
            pipeline.add(DownloadStatements.commit)
            let results = try await connection.run(pipeline, deadline: deadline)
            let scopeRows = try results[asked].all()
            let reading = try self.scope(scopeRows)
            try request.cursor.check(reading)
            let scope = reading.state
            guard request.after < request.window(of: scope) else {
                return Page(emptyFor: request, scope)
            }
            let devices = devices(scopeRows)
            let rows = try results[page]
            func filled(_ writer: some PageWriter) async throws -> Page {
                var filling = PageFilling(writer, request, scope)
                if try filling.add(rows) == .largeRow {
                    try await addLargeRows(to: &filling, request, catalog, connection, deadline)
                    try await expectNoCompaction(since: scope, request, connection, deadline)
                }
                return filling.finish()
            }
            switch request.format {
            case .json:
                return try await filled(
                    JSONPageWriter(
                        catalog: catalog, devices: devices,
                        expecting: min(rows.count, request.limit)))
            case .protobuf:
                return try await filled(ProtobufPageWriter(catalog: catalog, devices: devices))
            }
        }
    }

    /// Ends the reading of further rows.
    private struct PageIsFull: Error {}

    /// Goes on row by row: no more than one row is in memory beside the page.
    private func addLargeRows(
        to filling: inout PageFilling<some PageWriter>, _ request: PageRequest, _ catalog: Catalog,
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws {
        let statement = DownloadStatements.ReadLargeRows(
            range: range(request, catalog, after: filling.after, count: filling.room + 1))
        do {
            try await connection.stream(statement, deadline: deadline) { row in
                guard try filling.add(whole: row) else { throw PageIsFull() }
            }
        } catch is PageIsFull {}
    }

    /// Large rows are read later than the floor that tells which deletes are still there.
    ///
    /// - Throws: `RPCFailure.unavailable` when it has been raised meanwhile: the page could lack one.
    private func expectNoCompaction(
        since before: ScopeState, _ request: PageRequest, _ connection: PostgresConnection,
        _ deadline: ContinuousClock.Instant
    ) async throws {
        let statement = DownloadStatements.ReadScope(user: request.user, device: request.device)
        let now = try scope(
            try await connection.run(statement, deadline: deadline).all()
        ).state
        guard now.floor == before.floor, now.epoch == before.epoch else {
            throw RPCFailure.unavailable("The log was compacted while it was read; try again")
        }
    }

    private func range(
        _ request: PageRequest, _ catalog: Catalog, after: Sequence64, count: Int
    ) -> PageRange {
        PageRange(
            user: request.user, after: after, until: request.until ?? .max, count: count,
            tables: catalog.visibleTables(inSchema: request.schema, to: request.roles),
            excluding: request.includesOwn ? nil : request.device)
    }

    /// - Throws: `RPCFailure.deviceRevoked`; `PostgresError` if there is no row, as after half a
    ///   restore.
    private func scope(_ rows: [DownloadStatements.ReadScope.Row]) throws -> ScopeReading {
        if rows.contains(where: \.isRevoked) { throw RPCFailure.deviceRevoked }
        guard let first = rows.first else {
            throw PostgresError(
                .decoding("the state of a log: sync.meta has no row"),
                statementName: DownloadStatements.ReadScope.statement.name)
        }
        return first.reading
    }

    private func devices(_ rows: [DownloadStatements.ReadScope.Row]) -> [Int32: String] {
        var devices: [Int32: String] = [:]
        for row in rows {
            if let (number, device) = row.source { devices[number] = device }
        }
        return devices
    }
}
