import Model
import NIOCore
import Postgres
import Sidecar

/// Reads pages of change logs.
struct PageReader: Sendable {
    /// First guess of a row's size on the wire, in bytes; the buffer grows where it is too low.
    private static let bytesPerRow = 400

    let pool: PostgresPool
    let source: CatalogSource

    /// Reads the page after a cursor, in one round trip.
    func read(_ request: PageRequest, deadline: ContinuousClock.Instant) async throws -> Page {
        let catalog = try await source.catalog()
        do {
            return try await read(request, catalog, deadline)
        } catch is UnknownTable {
            return try await read(request, try await source.refresh(), deadline)
        }
    }

    private func read(
        _ request: PageRequest, _ catalog: Catalog, _ deadline: ContinuousClock.Instant
    ) async throws -> Page {
        let results = try await pool.withConnection(deadline: deadline) { connection in
            try await connection.run(commands(request, catalog), deadline: deadline)
        }
        guard results[0].rowCount > 0 else {
            return .empty(after: request.after, window: 0, head: 0)
        }
        let head = try results[0].int64(0, 1)
        let window = min(request.until ?? head, head)
        guard request.after < window else {
            return .empty(after: request.after, window: window, head: head)
        }
        return try write(
            results[2], try devices(results[1]), catalog, request, window: window, head: head)
    }

    private func write(
        _ rows: PostgresResult, _ devices: [Int32: String], _ catalog: Catalog,
        _ request: PageRequest,
        window: Sequence64, head: Sequence64
    ) throws -> Page {
        var page = Page(nextAfter: request.after, windowUntil: window, head: head)
        var writer = PageWriter(
            catalog: catalog, devices: devices, allocator: ByteBufferAllocator(),
            reserving: min(rows.rowCount, request.limit) * Self.bytesPerRow + 128)
        writer.begin()
        for row in 0..<rows.rowCount {
            let sequence = try rows.int64(row, 0)
            // Rows that were committed after the last sequence was read belong to the next window.
            if sequence > window { break }
            if page.rows == request.limit {
                page.hasMore = true
                break
            }
            try writer.append(rows, row: row, isFirst: page.rows == 0)
            page.rows += 1
            page.nextAfter = sequence
        }
        if !page.hasMore { page.nextAfter = window }
        writer.end(hasMore: page.hasMore, nextAfter: page.nextAfter, window: window)
        page.body = writer.buffer
        return page
    }

    private func commands(_ request: PageRequest, _ catalog: Catalog) -> [Command] {
        var user = Bindings()
        user.bind(request.user.value)
        var page = user
        page.bind(request.after)
        page.bind(request.until ?? .max)
        page.bind(Int64(request.limit + 1))
        if let schema = request.schema {
            var tables = ArrayBinding(of: .int2)
            for table in catalog.tables(inSchema: schema) { tables.append(table) }
            page.bind(tables)
        } else {
            page.bind(bytes: nil)
        }
        page.bind(request.includesOwn ? nil : request.device.value)
        return [
            Command(DownloadStatements.readScope, user),
            Command(DownloadStatements.readSources, user),
            Command(DownloadStatements.readPage, page),
        ]
    }

    private func devices(_ result: PostgresResult) throws -> [Int32: String] {
        var devices: [Int32: String] = [:]
        for row in 0..<result.rowCount {
            devices[try result.int32(row, 0)] = try result.string(row, 1)
        }
        return devices
    }
}
