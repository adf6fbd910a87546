import GRDB

/// Compares the app's tables with what the server's log has of each row, after the digests have
/// shown that this device received it.
///
/// It fetches the rows of a range of keys, compares them, repairs those that differ, and goes on
/// with the next range. So however large a table is, little of it is in memory, and the log needs
/// to stand still for one range at a time.
struct DeepComparing {
    let session: SyncSession

    /// Rows that are fetched and compared at once.
    private static let rowsAtOnce = 200
    /// How often a range is fetched while the log grows.
    private static let attempts = 3

    /// - Parameter tables: what came of the digests, in the order of the catalog.
    /// - Returns: the same with what came of the values.
    /// - Throws: `SyncError`. What was repaired before the error stays repaired.
    func run(_ tables: [TableComparison]) async throws -> [TableComparison] {
        let offered = try await session.capabilities().tables ?? []
        let schema = session.configuration.schema
        var results: [TableComparison] = []
        for (table, comparison) in zip(session.catalog.tables, tables) {
            guard comparison.outcome != .notCompared else {
                results.append(comparison)
                continue
            }
            let server = offered.first {
                $0.schema == (schema.isEmpty ? "public" : schema) && $0.table == table.wireName
            }
            results.append(
                try await compare(
                    table, comparison, SkippedColumn.all(of: table, server?.columns)))
        }
        return results
    }

    private func compare(
        _ table: TableSchema, _ digests: TableComparison, _ columns: [SkippedColumn]
    ) async throws -> TableComparison {
        var result = digests
        var values = ValueComparison()
        values.skippedColumns = columns
        var repaired = 0
        defer {
            if values.differingRows > 0 {
                let report = DriftReport(
                    table: table.name, rows: values.differingRows,
                    repaired: min(repaired, values.differingRows))
                session.board.post([.drift(report)])
            }
        }
        var last = ""
        do {
            while let key = try await range(of: table, after: last, &values, &repaired) {
                last = key
            }
            let unknown = try await session.write { db in
                try ChangeLog(db: db, catalog: session.catalog).fold()
                let keys = try TableValues(db: db, table: table).queueUnknown()
                try ChangeLog(db: db, catalog: session.catalog).fold()
                return keys
            }
            values.add(unknown, differing: Set(unknown))
            repaired += unknown.count
            if values.differingRows > 0 { result.outcome = .repaired }
        } catch is Comparing.Moved {
            result.outcome = .notCompared
        }
        result.values = values
        return result
    }

    /// Compares a range of rows, and repairs those that differ.
    ///
    /// - Returns: the last key; nil if there are no more rows.
    private func range(
        of table: TableSchema, after: String, _ values: inout ValueComparison,
        _ repaired: inout Int
    ) async throws -> String? {
        for attempt in 1... {
            do {
                return try await rangeOnce(of: table, after: after, &values, &repaired)
            } catch let error as Comparing.Moved {
                guard attempt < Self.attempts else { throw error }
                try await Exchange(session: session).fetch(isFresh: true)
            }
        }
        return nil
    }

    private func rangeOnce(
        of table: TableSchema, after: String, _ values: inout ValueComparison,
        _ repaired: inout Int
    ) async throws -> String? {
        let (keys, state) = try await session.read { db in
            let state = try DeviceStateTable(db: db).read()
            return (
                try TableValues(db: db, table: table).keys(after: after, limit: Self.rowsAtOnce),
                state
            )
        }
        guard let last = keys.last else { return nil }
        let (head, history) = (state.cursor, state.history)
        guard DigestRules.isComparable(state, head: head, history) else { throw Comparing.Moved() }
        let repairing = Repairing(session: session, table: table)
        let pages = try await repairing.fetch(keys, head, history, compares: true)
        let skipped = Set(values.skippedColumns.map { $0.name.lowercased() })
        let finding = try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            try session.checkUser(state)
            guard DigestRules.isComparable(state, head: head, history) else {
                throw Comparing.Moved()
            }
            try ChangeLog(db: db, catalog: session.catalog).fold()
            return try TableValues(db: db, table: table)
                .compare(keys, with: pages, without: skipped)
        }
        let differing = keys.filter(finding.differing.contains)
        if !differing.isEmpty { try await repairing.run(differing, head, history, &repaired) }
        values.comparedRows += finding.compared
        values.skippedRows += finding.skipped
        values.add(keys, differing: finding.differing)
        return last.wire
    }
}
