import Model
import Postgres
import RPC
import Sidecar

extension PageReader {
    /// Sums what a user's log says last of each row. Sums and the log's end are of one snapshot.
    ///
    /// - Parameter request: who asks, and about which history.
    /// - Returns: a page whose body is the digest.
    /// - Throws: `RPCFailure` for what is not served; `PostgresError`.
    func digest(
        _ digest: DigestRequest, _ request: PageRequest, deadline: ContinuousClock.Instant
    ) async throws -> Page {
        let catalog = try await source.catalog()
        let open = catalog.readable(inSchema: request.schema, to: request.caller)
        return try await scopes.read(of: request.user, from: pool, deadline) { connection, scope in
            switch digest.part {
            case .tables(let name):
                let tables = open.filter { name == nil || $0.name.table == name }
                return try await snapshot(
                    scope, request, connection, deadline,
                    { DownloadStatements.ReadDigests(scope: $0, tables: tables) }
                ) { body, rows in
                    let totals = rows.map { ($0.table, $0.total) }
                    body.append(
                        tables: tables, Dictionary(totals, uniquingKeysWith: { first, _ in first }))
                }
            case .buckets(let name, let count):
                let table = try open.table(name)
                return try await snapshot(
                    scope, request, connection, deadline,
                    { DownloadStatements.ReadBuckets(scope: $0, table: table, count: count) }
                ) { body, rows in
                    var totals = Array(repeating: DigestTotal(), count: count)
                    for row in rows where totals.indices.contains(Int(row.bucket)) {
                        totals[Int(row.bucket)] = row.total
                    }
                    body.append(buckets: totals)
                }
            case .rows(let name, let count, let buckets):
                let table = try open.table(name)
                return try await snapshot(
                    scope, request, connection, deadline,
                    {
                        DownloadStatements.ReadTerms(
                            scope: $0, table: table, count: count, buckets: buckets,
                            limit: DigestRequest.maximumRows + 1)
                    }
                ) { body, rows in
                    guard rows.count <= DigestRequest.maximumRows else {
                        throw RPCFailure.invalid(
                            "these buckets have more than \(DigestRequest.maximumRows) rows: "
                                + "name fewer")
                    }
                    try body.append(rows: rows, table.keyKind)
                }
            }
        }
    }

    /// Runs a statement in one snapshot with the state of the log.
    ///
    /// - Parameters:
    ///   - statement: makes it; a user without a scope has no rows.
    ///   - write: adds its rows to the answer.
    /// - Returns: nil if the scope is not the user's.
    private func snapshot<Asked: TypedStatement>(
        _ scope: NamedScope?, _ request: PageRequest, _ connection: PostgresConnection,
        _ deadline: ContinuousClock.Instant, _ statement: (NamedScope) -> Asked,
        _ write: (inout DigestBody, [Asked.Row]) throws -> Void
    ) async throws -> Page? {
        var pipeline = Pipeline()
        pipeline.add(DownloadStatements.begin)
        let asked = pipeline.add(
            DownloadStatements.ReadScope(scope: scope, device: request.device))
        let history = pipeline.add(
            DownloadStatements.ReadHistory(scope: scope, pair: request.pair))
        let rows = scope.map { pipeline.add(statement($0)) }
        pipeline.add(DownloadStatements.commit)
        let results = try await connection.run(pipeline, deadline: deadline)
        guard var reading = try reading(results[asked].all(), of: scope) else { return nil }
        let head = reading.state.head
        reading = try reading.with(try results[history].one(), of: request.pair, window: head)
        try request.cursor.check(reading)
        var body = DigestBody(head: head)
        try write(&body, try rows.map { try results[$0].all() } ?? [])
        var page = Page(nextAfter: head, windowUntil: head, scope: reading.state)
        page.body = body.finished()
        page.history = reading.windowEnd
        return page
    }

    /// Reads the newest changes of some rows, as a page in log order.
    ///
    /// - Parameter request: who asks; the changes are beyond its cursor.
    /// - Throws: `RPCFailure` for what is not served; `PostgresError`.
    func rows(
        _ rows: RowsRequest, _ request: PageRequest, deadline: ContinuousClock.Instant
    ) async throws -> Page {
        let catalog = try await source.catalog()
        let table = try catalog.readable(inSchema: rows.schema, to: request.caller).table(
            rows.table)
        let keys = rows.stored(table.keyKind)
        return try await scopes.read(of: request.user, from: pool, deadline) { connection, scope in
            var pipeline = Pipeline()
            pipeline.add(DownloadStatements.begin)
            let asked = pipeline.add(
                DownloadStatements.ReadScope(scope: scope, device: request.device))
            let history = pipeline.add(
                DownloadStatements.ReadHistory(scope: scope, pair: request.pair))
            let found = scope.map {
                pipeline.add(
                    DownloadStatements.ReadNewestChanges(
                        scope: $0, table: table.id, keys: keys, after: request.after,
                        bytes: WireLimits.payloadBytesPerAnswer))
            }
            pipeline.add(DownloadStatements.commit)
            let results = try await connection.run(pipeline, deadline: deadline)
            guard var reading = try reading(results[asked].all(), of: scope) else { return nil }
            let head = reading.state.head
            reading = try reading.with(try results[history].one(), of: request.pair, window: head)
            // Not its cursor, which may be below the floor: nothing is passed over here.
            try CursorCheck(after: 0, epoch: request.epoch).check(reading)
            var page = Page(nextAfter: head, windowUntil: head, scope: reading.state)
            page.history = reading.windowEnd
            var writer = JSONPageWriter(
                catalog: catalog, devices: [:], expecting: keys.count)
            if let found {
                let rows = try results[found]
                try page.append(rows, to: &writer)
            }
            page.body = writer.finish(page)
            return page
        }
    }
}

extension Page {
    /// Adds rows, and says whether there are more of them than the answer has.
    fileprivate mutating func append(
        _ rows: Rows<DownloadStatements.ReadNewestChanges.Row>, to writer: inout JSONPageWriter
    ) throws {
        defer { withExtendedLifetime(rows) {} }
        var rows = rows
        var (seen, total, last) = (0, 0, Sequence64(0))
        while let found = try rows.next() {
            seen += 1
            total = Int(clamping: found.total)
            last = found.row.sequence
            if found.row.isWithoutPayload {
                leftOut += 1
                continue
            }
            if let device = found.device { writer.learn(device, of: found.row.origin.source) }
            try writer.append(found.row)
            self.rows += 1
        }
        hasMore = seen < total
        if hasMore { nextAfter = last }
    }
}

extension Catalog {
    /// The tables whose rows a caller gets, those that are no longer registered included.
    ///
    /// - Parameter schema: nil for every schema.
    fileprivate func readable(
        inSchema schema: String?, to caller: Caller
    ) -> [RegisteredTable] {
        all.filter { $0.isReadable(by: caller) && (schema == nil || $0.name.schema == schema) }
    }
}

extension [RegisteredTable] {
    /// - Throws: `RPCFailure` if no table has that name.
    fileprivate func table(_ name: String) throws(RPCFailure) -> RegisteredTable {
        guard let table = first(where: { $0.name.table == name }) else {
            throw .tableNotRead
        }
        return table
    }
}
