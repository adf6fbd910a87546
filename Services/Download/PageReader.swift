import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar

/// Reads pages of change logs.
struct PageReader: Sendable {
    let pool: PostgresPool
    let source: CatalogSource

    /// Reads the page after a cursor, in one round trip.
    ///
    /// - Throws: `RPCFailure` for a cursor or a device that is not served; `PostgresError`.
    func read(_ request: PageRequest, deadline: ContinuousClock.Instant) async throws -> Page {
        let catalog = try await source.catalog()
        do {
            return try await read(request, catalog, deadline)
        } catch is UnknownTable {
            return try await read(request, try await source.refresh(), deadline)
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

    private func read(
        _ request: PageRequest, _ catalog: Catalog, _ deadline: ContinuousClock.Instant
    ) async throws -> Page {
        try await pool.withConnection(deadline: deadline) { connection in
            let results = try await connection.run(
                commands(request, catalog), deadline: deadline)
            let reading = try scope(results[0])
            try request.cursor.check(reading)
            let scope = reading.state
            guard request.after < request.window(of: scope) else {
                return Page(emptyFor: request, scope)
            }
            let page = try write(results[2], try devices(results[1]), catalog, request, scope)
            if request.after == 0, page.hasMore, scope.floor > 0 {
                try await connection.run(hydration(request, scope), deadline: deadline)
            }
            return page
        }
    }

    private func hydration(_ request: PageRequest, _ scope: ScopeState) -> Command {
        var bindings = scopeBindings(request.user, request.device)
        bindings.bind(scope.floor)
        return Command(DownloadStatements.noteHydration, bindings)
    }

    private func write(
        _ rows: PostgresResult, _ devices: [Int32: String], _ catalog: Catalog,
        _ request: PageRequest, _ scope: ScopeState
    ) throws -> Page {
        switch request.format {
        case .json:
            let writer = JSONPageWriter(
                catalog: catalog, devices: devices, expecting: min(rows.rowCount, request.limit))
            return try fill(writer, rows, request, scope)
        case .protobuf:
            let writer = ProtobufPageWriter(catalog: catalog, devices: devices)
            return try fill(writer, rows, request, scope)
        }
    }

    private func fill(
        _ writer: some PageWriter, _ rows: PostgresResult, _ request: PageRequest,
        _ scope: ScopeState
    ) throws -> Page {
        var writer = writer
        let window = request.window(of: scope)
        var page = Page(nextAfter: request.after, windowUntil: window, scope: scope)
        var bytes = 0
        for row in 0..<rows.rowCount {
            let sequence = try rows.int64(row, 0)
            // Rows that were committed after the last sequence was read belong to the next window.
            if sequence > window { break }
            bytes += rows.withBytes(row, PageColumn.payload) { $0?.count ?? 0 }
            // One row is served whatever its size: a page without any would hold the device for ever.
            let isFull = page.rows > 0 && bytes > WireLimits.payloadBytesPerAnswer
            if page.rows == request.limit || isFull {
                page.hasMore = true
                break
            }
            try writer.append(rows, row: row)
            page.rows += 1
            page.nextAfter = sequence
        }
        if !page.hasMore { page.nextAfter = window }
        page.body = writer.finish(page)
        return page
    }

    private func commands(_ request: PageRequest, _ catalog: Catalog) -> [Command] {
        var user = Bindings()
        user.bind(request.user.value)
        var page = user
        page.bind(request.after)
        page.bind(request.until ?? .max)
        page.bind(Int64(request.limit + 1))
        if let visible = catalog.visibleTables(inSchema: request.schema, to: request.roles) {
            var tables = ArrayBinding(of: .int2)
            for table in visible { tables.append(table) }
            page.bind(tables)
        } else {
            page.bind(bytes: nil)
        }
        page.bind(request.includesOwn ? nil : request.device.value)
        return [
            Command(DownloadStatements.readScope, scopeBindings(request.user, request.device)),
            Command(DownloadStatements.readSources, user),
            Command(DownloadStatements.readPage, page),
        ]
    }

    private func scopeBindings(_ user: UserID, _ device: DeviceID) -> Bindings {
        var bindings = Bindings()
        bindings.bind(user.value)
        bindings.bind(device.value)
        return bindings
    }

    private func scope(_ result: PostgresResult) throws -> ScopeReading {
        guard try !result.bool(0, 3) else { throw RPCFailure.deviceRevoked }
        return ScopeReading(
            state: ScopeState(
                epoch: try result.string(0, 0), head: try result.int64(0, 1),
                floor: try result.int64(0, 2)),
            hydratedFrom: try result.optionalInt64(0, 4))
    }

    private func devices(_ result: PostgresResult) throws -> [Int32: String] {
        var devices: [Int32: String] = [:]
        for row in 0..<result.rowCount {
            devices[try result.int32(row, 0)] = try result.string(row, 1)
        }
        return devices
    }
}
