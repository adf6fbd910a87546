import Model
import Postgres

/// Repairs differences with one clear answer: the log for row states, the table for its rows.
///
/// Nothing is ever taken out of the log: what a repair finds is appended as a change of the server, so that
/// devices get it. Every row is looked at again under its user's lock.
package struct Repair {
    /// Rows brought in line in one transaction, so that no user's uploads wait for long.
    package static let batchRows = 500

    private let connection: PostgresConnection
    private let acceptsDeletes: Bool

    /// - Parameters:
    ///   - connection: not the one that the verifier reads with.
    ///   - acceptsDeletes: whether a row that has gone from its business table is deleted on devices.
    package init(connection: PostgresConnection, acceptsDeletes: Bool) {
        self.connection = connection
        self.acceptsDeletes = acceptsDeletes
    }

    /// - Returns: how many of them were repaired.
    package func mend(_ differences: [Difference]) async throws -> Int64 {
        let catalog = Catalog(tables: try await Catalog.readTables(on: connection))
        var rows: [Batch: [Difference]] = [:]
        for difference in differences {
            guard let table = difference.table, difference.key != nil else { continue }
            switch difference.kind {
            case .staleState:
                rows[Batch(table: table, isState: true), default: []].append(difference)
            case .missingRow where !acceptsDeletes: continue
            case .missingRow, .unknownRow, .differentRow:
                rows[Batch(table: table, isState: false), default: []].append(difference)
            case .sequenceGap, .versionOrder, .unknownSource, .unsendableRow, .notCompared,
                .notThere, .captureOff:
                continue
            }
        }
        var mended: Int64 = 0
        for (batch, differences) in rows {
            guard let table = catalog[batch.table] else { continue }
            for start in stride(from: 0, to: differences.count, by: Self.batchRows) {
                let end = min(start + Self.batchRows, differences.count)
                mended += try await mend(
                    differences[start..<end], of: table, isState: batch.isState)
            }
        }
        return mended
    }

    private struct Batch: Hashable {
        let table: TableName
        let isState: Bool
    }

    private func mend(
        _ differences: ArraySlice<Difference>, of table: RegisteredTable, isState: Bool
    ) async throws -> Int64 {
        var users = ArrayBinding(of: .text, reserving: differences.count)
        var keys = ArrayBinding(of: .bytea, reserving: differences.count)
        var sequences = ArrayBinding(of: .int8, reserving: differences.count)
        for difference in differences {
            users.append(difference.user)
            difference.key?.withStoredBytes { keys.append(bytes: $0) }
            sequences.append(difference.sequence)
        }
        var lock = Bindings()
        lock.bind(users)
        var bindings = lock
        bindings.bind(keys)
        if isState {
            bindings.bind(table.id)
        } else {
            bindings.bind(sequences)
            bindings.bind(acceptsDeletes)
        }
        let statement =
            isState ? LogChecks.repairStates : BusinessComparison(table: table).reconcile
        var pipeline = Pipeline()
        pipeline.add(Statement(name: "repair_begin", sql: "BEGIN"))
        // As capture renders rows.
        for setting in RenderingSettings.all {
            pipeline.add(
                Statement(
                    name: "repair_\(setting.name)",
                    sql: "SET LOCAL \(setting.name) = '\(setting.value)'"))
        }
        pipeline.add(Command(LogChecks.lockScopes, lock))
        let mended = pipeline.add(Command(statement, bindings), of: Int64.self)
        pipeline.add(Statement(name: "repair_commit", sql: "COMMIT"))
        do {
            let rows = try await connection.run(pipeline)[mended]
            return isState ? Int64(rows.affectedRows) : try rows.one()
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }
}
