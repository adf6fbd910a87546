import Postgres

/// Statements that look at the database for the metrics. None reads a user's rows beyond a count.
enum MeasuringStatements {
    /// The changes that business tables refused and that nobody has dealt with: how many, up to ten
    /// thousand, and how old the oldest is.
    ///
    /// It follows the index of open failures, the oldest first, and looks each row's version up by
    /// its key. Those whose row has got further do not count, and do not use up the ten thousand:
    /// else they would hide the new ones. The subquery in the condition keeps PostgreSQL from
    /// reading all of `row_state` for a join.
    struct ReadBacklog: TypedStatement {
        static let statement = Statement(
            name: "measure_backlog",
            sql: """
                SELECT count(*)::float8,
                    coalesce(extract(epoch FROM now() - min(f.first_seen)), 0)::float8
                FROM (
                    SELECT o.first_seen FROM sync.materialize_failures o
                    WHERE o.resolved_at IS NULL AND o.attempted_version > coalesce((
                        SELECT r.version FROM sync.row_state r WHERE r.scope_id = o.scope_id
                            AND r.table_id = o.table_id AND r.key = o.key), 0)
                    ORDER BY o.first_seen LIMIT 10000
                ) AS f
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (changes: Double, oldestSeconds: Double) {
            (try columns.next(Double.self), try columns.next(Double.self))
        }
    }

    /// The database and its server. `pg_stat_activity` would not show the sessions of other roles.
    struct ReadDatabase: TypedStatement {
        static let statement = Statement(
            name: "measure_database",
            sql: """
                SELECT pg_database_size(d.oid)::float8, age(d.datfrozenxid)::float8,
                    (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::float8,
                    current_setting('max_connections')::float8
                FROM pg_database d WHERE d.datname = current_database()
                """)

        struct Row: Sendable {
            let bytes: Double
            /// Transactions since the oldest one that is not frozen yet.
            let transactionAge: Double
            let connections: Double
            let maximumConnections: Double
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                bytes: try columns.next(Double.self),
                transactionAge: try columns.next(Double.self),
                connections: try columns.next(Double.self),
                maximumConnections: try columns.next(Double.self))
        }
    }

    /// The replication slots of standbys and of what receives WAL for backups, and how much WAL the
    /// server keeps for each. Of more than a hundred, the first.
    struct ReadSlots: TypedStatement {
        static let statement = Statement(
            name: "measure_slots",
            sql: """
                SELECT slot_name::text, active, coalesce(
                    CASE WHEN NOT pg_is_in_recovery()
                        THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END, 0)::float8
                FROM pg_replication_slots WHERE NOT temporary ORDER BY 1 LIMIT 100
                """)

        struct Row: Sendable {
            let name: String
            let isActive: Bool
            let bytes: Double
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                name: try columns.next(String.self), isActive: try columns.next(Bool.self),
                bytes: try columns.next(Double.self))
        }
    }

    static let all = [
        ReadBacklog.statement, ReadDatabase.statement, ReadSlots.statement,
    ]
}
