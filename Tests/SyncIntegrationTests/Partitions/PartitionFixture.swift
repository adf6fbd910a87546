import Postgres
@testable import Sidecar
import Testing

extension SyncedDatabase {
    /// Converts the tables as `oversync migrate --partitions` does, once the services have gone.
    ///
    /// - Returns: what it told.
    @discardableResult
    func convert(to count: Int, lockTimeout: Duration = .seconds(30)) async throws -> [String] {
        try await endServices()
        var lines: [String] = []
        try await Partitioning(count: count, lockTimeout: lockTimeout).apply(
            in: MigrationRun(on: sql), report: { lines.append($0) })
        return lines
    }

    /// Ends the sessions of this database's services, which connect again when they are asked.
    func endServices() async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try await !sql.run(PartitionStatements.ReadServices()).isEmpty {
            try #require(.now < deadline, "services stay connected")
            try await execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND usename IN (SELECT name FROM sync.role)
                """)
        }
    }

    /// The same database, with services that have no connection yet.
    func restarted() throws -> SyncedDatabase {
        try SyncedDatabase(url, sql, reaching: PostgresConfiguration(url: url))
    }

    /// All rows of the log and of the states of rows, each change with its tag, and what the views
    /// show.
    func everything() async throws -> [String] {
        var all: [String] = []
        for query in [
            """
            SELECT format('%s tag %s', l, sync.change_tag(seq, op, version, source_change_id,
                content_hash, ts, key)) FROM sync.change_log l
            """,
            "SELECT r::text FROM sync.row_state r", "SELECT v::text FROM sync.server_change_log v",
            "SELECT v::text FROM sync.sync_row_meta v", "SELECT v::text FROM sync.sync_state v",
        ] {
            let lines = try await value(
                "SELECT string_agg(line, chr(10) ORDER BY line) FROM (\(query)) AS q(line)")
            all.append(lines ?? "")
        }
        return all
    }

    /// The shape of the two tables: columns, constraints, indexes, rights, settings, comments; a
    /// line each. Of partitions the first stands for all.
    func shape() async throws -> [String] {
        let text = try await value(
            """
            WITH ours AS (
                SELECT oid, relname, relkind, reloptions, relacl, relowner FROM pg_class
                WHERE oid IN ('sync.change_log'::regclass, 'sync.row_state'::regclass)
            ), leaf AS (
                SELECT oid, relname, reloptions FROM ours WHERE relkind = 'r'
                UNION ALL SELECT c.oid, o.relname, c.reloptions
                FROM ours o JOIN pg_inherits i ON i.inhparent = o.oid
                JOIN pg_class c ON c.oid = i.inhrelid
            ), lines AS (
                SELECT format('column %s %s %s %s %s', relname, attname,
                    format_type(atttypid, atttypmod), attnotnull, attstorage) AS line
                FROM ours JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
                UNION SELECT format('constraint %s %s %s', relname, conname,
                    pg_get_constraintdef(k.oid))
                FROM ours o JOIN pg_constraint k ON conrelid = o.oid
                UNION SELECT replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
                FROM ours JOIN pg_index ON indrelid = oid
                UNION SELECT format('options %s %s', relname, reloptions) FROM leaf
                UNION SELECT format('right %s %s %s %s', relname, a.grantee::regrole,
                    a.privilege_type, a.is_grantable) FROM ours, aclexplode(relacl) AS a
                UNION SELECT format('column right %s %s %s %s', relname, attname,
                    a.grantee::regrole, a.privilege_type)
                FROM ours JOIN pg_attribute ON attrelid = oid, aclexplode(attacl) AS a
                UNION SELECT format('comment %s %s', relname, obj_description(oid, 'pg_class'))
                FROM ours
            )
            SELECT string_agg(line, chr(10) ORDER BY line) FROM lines
            """)
        return (text ?? "").split(separator: "\n").map(String.init)
    }
}
