import Postgres

extension DownloadStatements {
    /// Which server this is, and how far it is: what makes a standby one of the primary's.
    ///
    /// A primary's timeline is that of the position it writes at, which a promotion changes at
    /// once. A standby's is what its control file says: it may tell a new one late, and never too
    /// early.
    ///
    /// All functions may be called by any role.
    struct ReadServer: TypedStatement {
        static let statement = Statement(
            name: "download_server",
            sql: """
                SELECT r.is_standby, s.system_identifier::text,
                    CASE WHEN r.is_standby
                        THEN greatest(c.timeline_id, p.min_recovery_end_timeline)::int8
                        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8
                        END,
                    (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())::int8,
                    m.epoch::text,
                    coalesce(CASE WHEN r.is_standby THEN pg_last_wal_replay_lsn()
                        ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn, 0)::int8
                FROM (SELECT pg_is_in_recovery() AS is_standby) AS r
                CROSS JOIN pg_control_system() s CROSS JOIN pg_control_checkpoint() c
                CROSS JOIN pg_control_recovery() p CROSS JOIN sync.meta m
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> ServerReading {
            ServerReading(
                isStandby: try columns.next(Bool.self), cluster: try columns.next(String.self),
                timeline: try columns.next(Int64.self), database: try columns.next(Int64.self),
                epoch: try columns.next(String.self), position: try columns.next(Int64.self))
        }
    }
}

/// What a look at a server has shown.
struct ServerReading: Hashable, Sendable {
    /// It is in recovery.
    var isStandby: Bool
    /// The cluster's system identifier, which physical copies share.
    var cluster: String
    /// Another one after each promotion.
    var timeline: Int64
    /// The database's number in the cluster.
    var database: Int64
    var epoch: String
    /// Bytes of the write-ahead log: on a primary those on its disk, on a standby those replayed.
    var position: Int64
}
