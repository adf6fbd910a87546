import Model
import Postgres
import Sidecar

extension UploadStatements {
    /// Counts what the user's log has gained since the last count, from uploads and from plain SQL.
    /// Runs under the scope's lock, before anything is decided.
    ///
    /// - `stretch` is the part of the log that is counted now. Without a new change it is empty,
    ///   and nothing is written.
    /// - `changes` are those of it, each with its row's last delete among them.
    /// - `newest` are its rows, each as its last change in it leaves it, with what it counted
    ///   before and with its peak: the most that it has counted with since it was made. A row whose
    ///   delete follows in the rest of the log counts for nothing.
    /// - `sized` says what they count with. A change that does not name every column that devices
    ///   are shown leaves the others as they are, so it never makes its row smaller. Columns are
    ///   looked at only where it would, and only in JSON that PostgreSQL's functions can read.
    /// - `gone` are deleted rows that still count, though compaction has removed their deletes from
    ///   the log before they were counted. They are looked for only while the log's floor is
    ///   beyond what was counted, each with a probe of the log.
    /// - `stated` writes by INSERT, so that PostgreSQL can only probe the index.
    struct CountUsage: TypedStatement {
        /// Changes that are counted at once. More than a transaction of uploads can add.
        static let maximumChanges: Int64 = 5000
        /// Bytes of stored payloads, which are unpacked to be counted, at once; one change more may
        /// go beyond. As many as an upload can bring.
        static let maximumStoredBytes: Int64 = 16 << 20

        /// Whether the last change of a row `n` of `newest` names every column that devices are
        /// shown, but for the key.
        private static let isWhole = """
            SELECT CASE
                    WHEN l.payload::text ~ '\\\\u(0000|[dD][89a-fA-F])'
                        OR json_typeof(l.payload) <> 'object' THEN false
                    ELSE NOT EXISTS (
                        SELECT FROM sync.catalog c
                        JOIN pg_namespace s ON s.nspname = c.schema_name
                        JOIN pg_class t ON t.relnamespace = s.oid AND t.relname = c.table_name
                        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0
                            AND NOT a.attisdropped
                        WHERE c.table_id = n.table_id AND c.mode = 'table'
                            AND a.attname <> c.key_column
                            AND a.attname::text IS DISTINCT FROM c.owner_column
                            AND a.attname::text <> ALL (coalesce(c.except_columns, '{}'))
                            AND lower(a.attname::text COLLATE "default")
                                <> ALL (ARRAY(SELECT json_object_keys(l.payload))))
                    END
            FROM sync.change_log l WHERE l.scope_id = $1 AND l.seq = n.change_seq
            LIMIT 1
            """

        static let statement = Statement(
            name: "upload_count_usage",
            sql: """
                WITH known AS (
                    SELECT u.counted_seq, u.live_rows, u.payload_bytes FROM sync.usage u
                    WHERE u.scope_id = $1 AND \(NamedScope.isUsers)
                ), stretch AS (
                    SELECT l.seq, l.table_id, l.key, octet_length(l.payload::text) AS bytes
                    FROM (
                        SELECT e.*, sum(pg_column_size(e.payload)) OVER (
                            ORDER BY e.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                            ) AS stored_before
                        FROM (
                            SELECT c.seq, c.table_id, c.key, c.payload FROM sync.change_log c
                            WHERE c.scope_id = $1
                                AND c.seq > coalesce((SELECT counted_seq FROM known), 0)
                                AND \(NamedScope.isUsers)
                            ORDER BY c.seq LIMIT $3
                        ) AS e
                    ) AS l
                    WHERE coalesce(l.stored_before, 0) < $4
                ), changes AS (
                    SELECT s.*, max(s.seq) OVER w AS last_seq,
                        max(s.seq) FILTER (WHERE s.bytes IS NULL) OVER w AS delete_seq
                    FROM stretch s WINDOW w AS (PARTITION BY s.table_id, s.key)
                ), newest AS (
                    SELECT n.table_id, n.key, r.version, r.seq, r.deleted, n.bytes,
                        r.counted_bytes AS former, n.seq AS change_seq,
                        greatest(
                            n.peak, CASE WHEN n.delete_seq IS NULL THEN r.counted_bytes END
                        ) AS peak
                    FROM (
                        SELECT c.*, max(c.bytes)
                            FILTER (WHERE c.seq > coalesce(c.delete_seq, 0))
                            OVER (PARTITION BY c.table_id, c.key) AS peak
                        FROM changes c
                    ) AS n
                    CROSS JOIN LATERAL (
                        SELECT * FROM sync.row_state s
                        WHERE s.scope_id = $1 AND s.table_id = n.table_id AND s.key = n.key
                            AND (s.seq = n.seq OR s.seq > n.seq AND NOT s.deleted)
                        LIMIT 1
                    ) AS r
                    WHERE n.seq = n.last_seq
                ), sized AS (
                    SELECT n.table_id, n.key, n.version, n.seq, n.deleted,
                        CASE WHEN n.bytes < n.peak AND NOT (\(isWhole))
                            THEN n.peak ELSE n.bytes END AS bytes, n.former
                    FROM newest n
                ), gone AS (
                    SELECT r.table_id, r.key, r.version, r.seq, r.deleted, NULL::integer AS bytes,
                        r.counted_bytes AS former
                    FROM sync.row_state r
                    WHERE (
                            SELECT s.floor_seq > k.counted_seq FROM sync.scope s, known k
                            WHERE s.scope_id = $1)
                        AND r.scope_id = $1 AND r.deleted AND r.counted_bytes IS NOT NULL
                        AND (
                            SELECT l.seq FROM sync.change_log l
                            WHERE l.scope_id = $1 AND l.seq = r.seq LIMIT 1) IS NULL
                ), rows AS (
                    SELECT * FROM sized UNION ALL SELECT * FROM gone
                ), stated AS (
                    INSERT INTO sync.row_state
                        (scope_id, table_id, key, version, seq, deleted, counted_bytes)
                    SELECT $1, r.table_id, r.key, r.version, r.seq, r.deleted, r.bytes FROM rows r
                    WHERE r.bytes IS DISTINCT FROM r.former
                    ON CONFLICT (scope_id, table_id, key) DO UPDATE
                    SET counted_bytes = excluded.counted_bytes
                ), counted AS (
                    SELECT coalesce(p.more, false) AS more, CASE WHEN p.more THEN p.seq ELSE (
                            SELECT s.last_seq FROM sync.scope s WHERE s.scope_id = $1)
                        END AS seq
                    FROM (
                        SELECT m.seq, (
                            SELECT true FROM sync.change_log l
                            WHERE l.scope_id = $1 AND l.seq > m.seq
                            ORDER BY l.scope_id, l.seq LIMIT 1) AS more
                        FROM (SELECT max(seq) AS seq FROM stretch) AS m
                    ) AS p
                ), written AS (
                    INSERT INTO sync.usage AS u (scope_id, counted_seq, live_rows, payload_bytes)
                    SELECT $1, c.seq, d.live, d.bytes
                    FROM counted c, (
                        SELECT count(r.bytes) - count(r.former) AS live,
                            coalesce(sum(r.bytes), 0) - coalesce(sum(r.former), 0) AS bytes
                        FROM rows r) AS d
                    WHERE \(NamedScope.isUsers)
                        AND c.seq > coalesce((SELECT counted_seq FROM known), 0)
                    ON CONFLICT (scope_id) DO UPDATE
                    SET counted_seq = excluded.counted_seq,
                        live_rows = u.live_rows + excluded.live_rows,
                        payload_bytes = u.payload_bytes + excluded.payload_bytes
                    RETURNING live_rows, payload_bytes
                )
                SELECT u.live_rows, u.payload_bytes, (SELECT c.more FROM counted c)
                FROM (
                    SELECT live_rows, payload_bytes FROM written
                    UNION ALL
                    SELECT live_rows, payload_bytes FROM known
                    WHERE NOT EXISTS (SELECT FROM written)
                ) AS u
                """,
            parameters: [.int8, .text, .int8, .int8])

        let scope: NamedScope
        var changes = maximumChanges
        var storedBytes = maximumStoredBytes

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(changes)
            bindings.bind(storedBytes)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Usage {
            Usage(
                rows: try columns.next(Int64.self), bytes: try columns.next(Int64.self),
                isBehind: try columns.next(Bool.self))
        }
    }
}
