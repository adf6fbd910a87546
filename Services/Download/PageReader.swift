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
        let command = Command(DownloadStatements.readScope, scopeBindings(user, device))
        let result = try await pool.withConnection(deadline: deadline) {
            try await $0.run(command, deadline: deadline)
        }
        return try scope(result)
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
            let results = try await connection.run(
                commands(request, catalog), deadline: deadline)
            let reading = try scope(results[1])
            try request.cursor.check(reading)
            let scope = reading.state
            guard request.after < request.window(of: scope) else {
                return Page(emptyFor: request, scope)
            }
            let devices = try devices(results[1])
            func filled(_ writer: some PageWriter) async throws -> Page {
                var filling = PageFilling(writer, request, scope)
                if try filling.add(results[2]) == .largeRow {
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
                        expecting: min(results[2].rowCount, request.limit)))
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
        let command = Command(
            DownloadStatements.readLargeRows,
            rows(request, catalog, after: filling.after, count: filling.room + 1))
        do {
            try await connection.stream(command, deadline: deadline) { row in
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
        let command = Command(
            DownloadStatements.readScope, scopeBindings(request.user, request.device))
        let now = try scope(try await connection.run(command, deadline: deadline)).state
        guard now.floor == before.floor, now.epoch == before.epoch else {
            throw RPCFailure.unavailable("The log was compacted while it was read; try again")
        }
    }

    private func commands(_ request: PageRequest, _ catalog: Catalog) -> [Command] {
        let page = rows(request, catalog, after: request.after, count: request.limit + 1)
        return [
            Command(DownloadStatements.begin),
            Command(DownloadStatements.readScope, scopeBindings(request.user, request.device)),
            Command(DownloadStatements.readPage, page),
            Command(DownloadStatements.commit),
        ]
    }

    /// The parameters of `readPage` and `readLargeRows`.
    private func rows(
        _ request: PageRequest, _ catalog: Catalog, after: Sequence64, count: Int
    ) -> Bindings {
        var page = Bindings()
        page.bind(request.user.value)
        page.bind(after)
        page.bind(request.until ?? .max)
        page.bind(Int64(count))
        if let visible = catalog.visibleTables(inSchema: request.schema, to: request.roles) {
            var tables = ArrayBinding(of: .int2)
            for table in visible { tables.append(table) }
            page.bind(tables)
        } else {
            page.bind(bytes: nil)
        }
        page.bind(request.includesOwn ? nil : request.device.value)
        return page
    }

    private func scopeBindings(_ user: UserID, _ device: DeviceID) -> Bindings {
        var bindings = Bindings()
        bindings.bind(user.value)
        bindings.bind(device.value)
        return bindings
    }

    private func scope(_ result: PostgresResult) throws -> ScopeReading {
        for row in 0..<result.rowCount where try result.bool(row, ScopeColumn.isRevoked) {
            throw RPCFailure.deviceRevoked
        }
        return ScopeReading(
            state: ScopeState(
                epoch: try result.string(0, ScopeColumn.epoch),
                head: try result.int64(0, ScopeColumn.head),
                floor: try result.int64(0, ScopeColumn.floor)),
            hydratedFrom: try result.optionalInt64(0, ScopeColumn.hydratedFrom))
    }

    private func devices(_ result: PostgresResult) throws -> [Int32: String] {
        var devices: [Int32: String] = [:]
        for row in 0..<result.rowCount {
            guard let number = try result.optionalInt32(row, ScopeColumn.source) else { continue }
            devices[number] = try result.string(row, ScopeColumn.device)
        }
        return devices
    }
}

/// The columns of `DownloadStatements.readScope`.
private enum ScopeColumn {
    static let epoch = 0
    static let head = 1
    static let floor = 2
    static let hydratedFrom = 3
    static let source = 4
    static let device = 5
    static let isRevoked = 6
}
