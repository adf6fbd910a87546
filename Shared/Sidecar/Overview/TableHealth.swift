import Postgres

/// The state of a table of the sidecar, or of one partition of it (`sync.health`). All of it is
/// what PostgreSQL has counted or estimated.
package struct TableHealth: Hashable, Sendable {
    /// Without its schema.
    package let table: String
    /// Nil for a table without partitions, and for all partitions of a table together.
    package let partition: String?
    /// With TOAST, without indexes.
    package let tableBytes: Int64
    package let indexBytes: Int64
    /// Nil before the first ANALYZE.
    package let estimatedRows: Int64?
    /// Rows that vacuum has not removed yet.
    package let deadRows: Int64
    /// Autovacuum comes when there are more dead rows.
    package let vacuumAboveRows: Int64
    /// Bytes of the table's pages that rows do not take, beyond what the fillfactor leaves free;
    /// nil before the first ANALYZE.
    package let bloatBytes: Int64?
    /// The share of pages whose rows' visibility an index alone shows (all-visible pages), from 0
    /// to 1; nil for an empty table.
    package let indexOnlyShare: Double?
    /// Since the statistics were reset.
    package let insertedRows: Int64
    package let deletedRows: Int64
    /// The last VACUUM, in seconds since 1970; of partitions the one that was vacuumed longest ago.
    package let lastVacuum: Double?

    package init(
        table: String, partition: String?, tableBytes: Int64, indexBytes: Int64,
        estimatedRows: Int64?, deadRows: Int64, vacuumAboveRows: Int64, bloatBytes: Int64?,
        indexOnlyShare: Double?, insertedRows: Int64, deletedRows: Int64, lastVacuum: Double?
    ) {
        (self.table, self.partition) = (table, partition)
        (self.tableBytes, self.indexBytes) = (tableBytes, indexBytes)
        (self.estimatedRows, self.deadRows) = (estimatedRows, deadRows)
        (self.vacuumAboveRows, self.bloatBytes) = (vacuumAboveRows, bloatBytes)
        (self.indexOnlyShare, self.lastVacuum) = (indexOnlyShare, lastVacuum)
        (self.insertedRows, self.deletedRows) = (insertedRows, deletedRows)
    }

    /// With indexes.
    package var bytes: Int64 { tableBytes + indexBytes }

    /// More dead rows than autovacuum should have left, and enough to matter.
    var isBehindVacuum: Bool {
        deadRows > HealthLimits.deadRows
            && deadRows / HealthLimits.vacuumsMissed > vacuumAboveRows
    }

    /// One for each table: those of its partitions together.
    package static func wholes(_ parts: [TableHealth]) -> [TableHealth] {
        Dictionary(grouping: parts, by: \.table).map { table, parts -> TableHealth in
            func sum(_ value: (TableHealth) -> Int64?) -> Int64? {
                let known = parts.compactMap(value)
                return known.isEmpty ? nil : known.reduce(0) { $0.addingReportingOverflow($1).0 }
            }
            let seen = parts.filter { $0.indexOnlyShare != nil }
            let pages = seen.reduce(0) { $0 + Double($1.tableBytes) }
            let visible = seen.reduce(0) { $0 + ($1.indexOnlyShare ?? 0) * Double($1.tableBytes) }
            return TableHealth(
                table: table, partition: nil, tableBytes: sum { $0.tableBytes } ?? 0,
                indexBytes: sum { $0.indexBytes } ?? 0, estimatedRows: sum { $0.estimatedRows },
                deadRows: sum { $0.deadRows } ?? 0,
                vacuumAboveRows: sum { $0.vacuumAboveRows } ?? 0,
                bloatBytes: sum { $0.bloatBytes },
                indexOnlyShare: pages > 0 ? visible / pages : nil,
                insertedRows: sum { $0.insertedRows } ?? 0,
                deletedRows: sum { $0.deletedRows } ?? 0,
                lastVacuum: parts.compactMap { $0.lastVacuum }.min())
        }.sorted { $0.table < $1.table }
    }
}

/// What concerns vacuum in the whole database, and floors of logs (`sync.database_health`).
package struct DatabaseHealth: Hashable, Sendable {
    /// Age of the oldest open transaction that has read or written something, prepared ones
    /// included, in seconds; nil: there is none, or the owner of the sidecar may not see it.
    package let oldestTransaction: Double?
    /// Transactions that have begun since what keeps vacuum from its work; nil: nothing does.
    package let heldTransactions: Int64?
    /// What that is: `session`, `prepared transaction`, `standby` or `slot`.
    package let heldBy: String?
    /// Its process, or its name.
    package let heldByName: String?
    /// Age of the change at the newest floor, in seconds: a device that was away for longer may
    /// have to begin again from 0. Nil: no delete was removed yet.
    package let newestFloor: Double?
    /// The same of the oldest floor.
    package let oldestFloor: Double?

    package init(
        oldestTransaction: Double?, heldTransactions: Int64?, heldBy: String?,
        heldByName: String?, newestFloor: Double?, oldestFloor: Double?
    ) {
        (self.oldestTransaction, self.heldTransactions) = (oldestTransaction, heldTransactions)
        (self.heldBy, self.heldByName) = (heldBy, heldByName)
        (self.newestFloor, self.oldestFloor) = (newestFloor, oldestFloor)
    }
}

/// What is too much. The alerts in `Deploy/observability/alerts.yml` have the same numbers.
package enum HealthLimits {
    /// Older transactions keep vacuum from its work, in seconds.
    package static let oldTransaction: Double = 3600
    /// As long counted in transactions, where the time cannot be seen.
    package static let heldTransactions: Int64 = 10_000_000
    /// Fewer dead rows matter to nobody.
    package static let deadRows: Int64 = 100_000
    /// A multiple of the dead rows at which autovacuum comes.
    package static let vacuumsMissed: Int64 = 4
}

/// Both views, and what an operator must look at.
package struct SidecarHealth: Hashable, Sendable {
    /// One for each table and partition.
    package let parts: [TableHealth]
    package let database: DatabaseHealth
    /// One for each table.
    package let tables: [TableHealth]

    package init(parts: [TableHealth], database: DatabaseHealth) {
        self.parts = parts
        self.database = database
        tables = TableHealth.wholes(parts)
    }

    /// - Throws: `PostgresError`, also for a database without these views.
    package static func read(
        on connection: PostgresConnection, deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> SidecarHealth {
        let parts = try await connection.run(HealthStatements.ReadTables(), deadline: deadline)
            .all()
        return SidecarHealth(
            parts: parts,
            database: try await connection.run(
                HealthStatements.ReadDatabase(), deadline: deadline
            ).one())
    }

    /// What needs an operator, a line each, with what to look at. It is not in anybody's way yet.
    package var warnings: [String] {
        var lines: [String] = []
        let held = "vacuum cannot remove what has died since: see sync.vacuum_holders()"
        if let seconds = database.oldestTransaction, seconds >= HealthLimits.oldTransaction {
            let minutes = Int64(min(seconds, 1e12)) / 60
            lines.append("a transaction has been open for \(minutes) minutes, and \(held)")
        } else if let count = database.heldTransactions, count >= HealthLimits.heldTransactions {
            lines.append(
                "\(count) transactions have begun since the oldest \(database.heldBy ?? "session") "
                    + "did, and \(held)")
        }
        lines += tables.filter(\.isBehindVacuum).map {
            "sync.\($0.table) has \($0.deadRows) dead rows; autovacuum should have come at "
                + "\($0.vacuumAboveRows)"
        }
        return lines
    }
}

/// Statements that read the views of health.
package enum HealthStatements {
    struct ReadTables: TypedStatement {
        static let statement = Statement(
            name: "health_tables",
            sql: """
                SELECT table_name, partition, table_bytes, index_bytes, estimated_rows, dead_rows,
                    vacuum_above_rows, bloat_bytes, index_only_share, inserted_rows, deleted_rows,
                    extract(epoch FROM last_vacuum)::float8
                FROM sync.health ORDER BY table_name, partition
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> TableHealth {
            TableHealth(
                table: try columns.next(String.self), partition: try columns.next(String?.self),
                tableBytes: try columns.next(Int64.self),
                indexBytes: try columns.next(Int64.self),
                estimatedRows: try columns.next(Int64?.self),
                deadRows: try columns.next(Int64.self),
                vacuumAboveRows: try columns.next(Int64.self),
                bloatBytes: try columns.next(Int64?.self),
                indexOnlyShare: try columns.next(Double?.self),
                insertedRows: try columns.next(Int64.self),
                deletedRows: try columns.next(Int64.self),
                lastVacuum: try columns.next(Double?.self))
        }
    }

    struct ReadDatabase: TypedStatement {
        static let statement = Statement(
            name: "health_database",
            sql: """
                SELECT oldest_transaction_seconds, held_transactions, held_by, held_by_name,
                    extract(epoch FROM now() - newest_floor_at)::float8,
                    extract(epoch FROM now() - oldest_floor_at)::float8
                FROM sync.database_health
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> DatabaseHealth {
            DatabaseHealth(
                oldestTransaction: try columns.next(Double?.self),
                heldTransactions: try columns.next(Int64?.self),
                heldBy: try columns.next(String?.self),
                heldByName: try columns.next(String?.self),
                newestFloor: try columns.next(Double?.self),
                oldestFloor: try columns.next(Double?.self))
        }
    }

    package static let all = [ReadTables.statement, ReadDatabase.statement]
}
