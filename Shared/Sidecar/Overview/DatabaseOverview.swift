import Model
import Postgres

/// A database at a glance (`oversync status`).
package struct DatabaseOverview: Hashable, Sendable {
    /// Rows that are counted one by one. Beyond that number, the counts below are lower bounds.
    package static let countedRows: Int64 = 100_000

    /// Such as `15.14`.
    package let serverVersion: String
    package let database: String
    /// A standby takes no writes.
    package let isStandby: Bool
    package let users: Int64
    package let devices: Int64
    package let revokedDevices: Int64
    /// Devices whose newest change is less than a day old.
    package let activeDevices: Int64
    /// Changes in all logs, as PostgreSQL estimates them; nil before the first ANALYZE.
    package let estimatedChanges: Int64?
    /// Bytes of the log and the states of rows, with their indexes.
    package let logBytes: Int64
    /// Changes that a table has refused and that nothing has settled since.
    package let openFailures: Int64
    /// Age of the oldest of them, in seconds; nil: there is none.
    package let oldestFailure: Int64?
    /// Age of the oldest open transaction that has read or written something, in seconds; nil:
    /// there is none, or the owner may not see it. It keeps vacuum from removing dead rows.
    package let oldestTransaction: Int64?
    /// Standbys that follow this server.
    package let standbys: Int64
    /// How far the slowest is behind, in bytes of WAL; nil: unknown to this role, or none follows.
    package let standbyLagBytes: Int64?

    /// - Throws: `PostgresError`, also for a database without the sidecar.
    package static func read(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> DatabaseOverview {
        try await connection.run(OverviewStatements.ReadDatabase()).one()
    }
}

/// A registered table at a glance (`oversync tables`).
package struct TableOverview: Hashable, Sendable {
    package let table: RegisteredTable
    /// Rows of the business table, as PostgreSQL estimates them; nil before the first ANALYZE, and
    /// of a table that is not there.
    package let estimatedRows: Int64?
    /// With indexes; nil of a table that is not there, and in `sidecar` mode.
    package let bytes: Int64?
    /// Changes that the table has refused and that nothing has settled since.
    package let openFailures: Int64
    /// Why plain SQL on it does not, or not wholly, reach devices. Empty: it does.
    package let captureProblems: [String]
    /// Seconds since something was first written to it without capture; nil: nothing was.
    package let uncapturedSince: Int64?

    /// The tables of the catalog in parents-first order; those that are no longer registered stand
    /// at the end.
    package static func read(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [TableOverview] {
        let catalog = Catalog(tables: try await Catalog.readTables(on: connection))
        let flaws = Dictionary(
            grouping: try await CaptureInstallation.flaws(
                catalog.tables, includingPast: true, on: connection),
            by: \.table)
        let sizes = Dictionary(
            try await connection.run(OverviewStatements.ReadTables()).all().map { ($0.id, $0) },
            uniquingKeysWith: { first, _ in first })
        let removed = catalog.all.filter(\.isRemoved).sorted {
            $0.name.description < $1.name.description
        }
        return (catalog.tables + removed).map { table in
            let size = sizes[table.id]
            return TableOverview(
                table: table, estimatedRows: size?.rows, bytes: size?.bytes,
                openFailures: size?.failures ?? 0,
                captureProblems: flaws[table.name]?.map(\.detail) ?? [],
                uncapturedSince: size?.uncaptured)
        }
    }
}

package enum OverviewStatements {
    /// Counts no further than `DatabaseOverview.countedRows`: it answers within a moment, whatever
    /// the number of users.
    struct ReadDatabase: TypedStatement {
        static let statement = Statement(
            name: "overview_database",
            sql: """
                SELECT current_setting('server_version'), current_database(), pg_is_in_recovery(),
                    (SELECT count(*) FROM (SELECT FROM sync.scope LIMIT $1) AS s),
                    d.devices, d.revoked, d.active,
                    l.changes, l.bytes, f.open, f.oldest,
                    (SELECT h.oldest_transaction_seconds::int8 FROM sync.database_health h),
                    (SELECT count(*) FROM pg_stat_replication),
                    CASE WHEN NOT pg_is_in_recovery() THEN (
                        SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn))::int8
                        FROM pg_stat_replication r) END
                FROM (
                    SELECT count(*) AS devices, count(*) FILTER (WHERE revoked_at IS NOT NULL)
                            AS revoked,
                        count(*) FILTER (WHERE last_seen > now() - interval '1 day') AS active
                    FROM (SELECT revoked_at, last_seen FROM sync.source LIMIT $1) AS s
                ) AS d, (
                    SELECT count(*) AS open,
                        extract(epoch FROM now() - min(first_seen))::int8 AS oldest
                    FROM (
                        SELECT f.first_seen FROM sync.materialize_failures f
                        LEFT JOIN sync.row_state r USING (scope_id, table_id, key)
                        WHERE f.resolved_at IS NULL AND coalesce(r.version, 0) < f.attempted_version
                        LIMIT $1
                    ) AS o
                ) AS f, (
                    SELECT (sum(h.estimated_rows) FILTER (WHERE h.table_name = 'change_log'))::int8
                            AS changes, sum(h.table_bytes + h.index_bytes)::int8 AS bytes
                    FROM sync.health h WHERE h.table_name IN ('change_log', 'row_state')
                ) AS l
                """,
            parameters: [.int8])

        func bind(to bindings: inout Bindings) {
            bindings.bind(DatabaseOverview.countedRows)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> DatabaseOverview {
            DatabaseOverview(
                serverVersion: try columns.next(String.self),
                database: try columns.next(String.self), isStandby: try columns.next(Bool.self),
                users: try columns.next(Int64.self), devices: try columns.next(Int64.self),
                revokedDevices: try columns.next(Int64.self),
                activeDevices: try columns.next(Int64.self),
                estimatedChanges: try columns.next(Int64?.self),
                logBytes: try columns.next(Int64.self),
                openFailures: try columns.next(Int64.self),
                oldestFailure: try columns.next(Int64?.self),
                oldestTransaction: try columns.next(Int64?.self),
                standbys: try columns.next(Int64.self),
                standbyLagBytes: try columns.next(Int64?.self))
        }
    }

    struct ReadTables: TypedStatement {
        static let statement = Statement(
            name: "overview_tables",
            sql: """
                SELECT c.table_id, nullif(k.reltuples, -1)::int8,
                    CASE WHEN k.relkind = 'p' THEN (
                            SELECT sum(pg_total_relation_size(t.relid))::int8
                            FROM pg_partition_tree(k.oid) t)
                        ELSE pg_total_relation_size(k.oid) END,
                    (SELECT count(*) FROM (
                        SELECT FROM sync.materialize_failures f
                        LEFT JOIN sync.row_state r USING (scope_id, table_id, key)
                        WHERE f.table_id = c.table_id AND f.resolved_at IS NULL
                            AND coalesce(r.version, 0) < f.attempted_version
                        LIMIT $1) AS o),
                    (SELECT extract(epoch FROM now() - min(w.recorded_at))::int8
                        FROM sync.uncaptured_write w WHERE w.table_id = c.table_id)
                FROM sync.catalog c
                LEFT JOIN pg_namespace n ON c.mode = 'table' AND n.nspname = c.schema_name
                LEFT JOIN pg_class k ON k.relnamespace = n.oid AND k.relname = c.table_name
                """,
            parameters: [.int8])

        struct Row {
            let id: TableID
            let rows: Int64?
            let bytes: Int64?
            let failures: Int64
            let uncaptured: Int64?
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(DatabaseOverview.countedRows)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                id: try columns.next(Int16.self), rows: try columns.next(Int64?.self),
                bytes: try columns.next(Int64?.self), failures: try columns.next(Int64.self),
                uncaptured: try columns.next(Int64?.self))
        }
    }

    package static let all =
        [ReadDatabase.statement, ReadTables.statement] + RowHistory.all + HealthStatements.all
}
