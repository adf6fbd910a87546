import Model
import Postgres

/// The checks of the sidecar against itself: queries of `user_id, table_id, key, kind, detail, seq`, one row
/// for each thing that is wrong.
enum LogChecks {
    static let all = [holes, compacted, heads, versions, states, sources, unsendable]

    /// The one user to look at, set for the transaction; null for everybody.
    static let user = "nullif(current_setting('oversync.verify_user', true), '')"
    static let setUser = Statement(
        name: "verify_user", sql: "SELECT set_config('oversync.verify_user', $1, true)",
        parameters: [.text])

    /// After what compaction has passed, the log is dense.
    private static let holes = """
        SELECT s.user_id, NULL::int2 AS table_id, NULL::bytea AS key, '\(Difference.Kind.sequenceGap.rawValue)',
            format('after=%s next=%s', l.previous, l.seq), 0::int8 AS seq
        FROM (
            SELECT l.scope_id, l.seq, lag(l.seq, 1, s.compacted_seq) OVER (
                PARTITION BY l.scope_id ORDER BY l.seq) AS previous
            FROM sync.change_log l LEFT JOIN sync.scope s USING (scope_id)
            WHERE l.seq > coalesce(s.compacted_seq, 0) AND \(ofUser("l"))
        ) AS l LEFT JOIN sync.scope s USING (scope_id)
        WHERE l.seq <> l.previous + 1
        """

    /// Before that, it lacks as many changes as compaction has removed.
    private static let compacted = """
        SELECT s.user_id, NULL::int2 AS table_id, NULL::bytea AS key, '\(Difference.Kind.sequenceGap.rawValue)',
            format('up to %s there are %s changes, and %s were compacted', s.compacted_seq, l.kept,
                s.compacted_count), 0::int8 AS seq
        FROM sync.scope s
        CROSS JOIN LATERAL (
            SELECT count(*) AS kept FROM sync.change_log
            WHERE scope_id = s.scope_id AND seq <= s.compacted_seq
        ) AS l
        WHERE s.compacted_seq <> l.kept + s.compacted_count AND \(ofUser("s"))
        """

    private static let heads = """
        SELECT s.user_id, NULL::int2 AS table_id, NULL::bytea AS key, '\(Difference.Kind.sequenceGap.rawValue)',
            format('last_seq=%s newest=%s', s.last_seq, l.newest), 0::int8 AS seq
        FROM sync.scope s
        CROSS JOIN LATERAL (
            SELECT coalesce(max(seq), 0) AS newest FROM sync.change_log WHERE scope_id = s.scope_id
        ) AS l
        WHERE s.last_seq <> greatest(l.newest, s.compacted_seq) AND \(ofUser("s"))
        """

    /// Versions grow. Some may be missing: they were compacted away, or lost by a restore, and a device that knew a later
    /// one has sent the row again.
    private static let versions = """
        SELECT s.user_id, l.table_id, l.key, '\(Difference.Kind.versionOrder.rawValue)',
            format('seq=%s version=%s after=%s', l.seq, l.version, coalesce(l.previous, 0)), 0::int8 AS seq
        FROM (
            SELECT l.*, lag(version) OVER history AS previous
            FROM sync.change_log l WHERE \(ofUser("l"))
            WINDOW history AS (PARTITION BY scope_id, table_id, key ORDER BY seq)
        ) AS l JOIN sync.scope s USING (scope_id)
        WHERE l.version <= coalesce(l.previous, 0)
        """

    /// Of a row whose delete was compacted away the state alone is left.
    private static let states = """
        SELECT s.user_id, table_id, key, '\(Difference.Kind.staleState.rawValue)',
            format('state=%s/%s%s log=%s/%s%s', r.version, r.seq,
            CASE WHEN r.deleted THEN '/deleted' END, l.version, l.seq, CASE WHEN l.deleted THEN '/deleted' END), 0::int8 AS seq
        FROM (
            SELECT DISTINCT ON (scope_id, table_id, key) scope_id, table_id, key, version, seq,
                op = 'D' AS deleted
            FROM sync.change_log l WHERE \(ofUser("l")) ORDER BY scope_id, table_id, key, seq DESC
        ) AS l
        FULL JOIN (SELECT * FROM sync.row_state r WHERE \(ofUser("r"))) AS r USING (scope_id, table_id, key)
        JOIN sync.scope s USING (scope_id)
        WHERE (l.version, l.seq, l.deleted) IS DISTINCT FROM (r.version, r.seq, r.deleted)
            AND NOT (l.seq IS NULL AND r.deleted AND r.seq <= s.floor_seq)
        """

    private static let sources = """
        SELECT s.user_id, NULL::int2 AS table_id, NULL::bytea AS key, '\(Difference.Kind.unknownSource.rawValue)',
            format('source=%s changes=%s', l.source_no, l.changes), 0::int8 AS seq
        FROM (
            SELECT scope_id, source_no, count(*) AS changes FROM sync.change_log l
            WHERE source_no <> \(ChangeAppend.sourceNumber) AND \(ofUser("l")) GROUP BY 1, 2
        ) AS l JOIN sync.scope s USING (scope_id)
        WHERE NOT EXISTS (
            SELECT FROM sync.source d WHERE d.scope_id = l.scope_id AND d.source_no = l.source_no)
        """

    /// PostgreSQL compresses no value to less than this part of it: what is stored in fewer bytes needs no unpacking.
    private static let bestCompression = 255

    /// Live rows that went into the log before capture refused such.
    private static let unsendable = """
        SELECT s.user_id, r.table_id, r.key, '\(Difference.Kind.unsendableRow.rawValue)',
            format('bytes=%s key_bytes=%s', octet_length(l.payload::text), octet_length(r.key)), 0::int8 AS seq
        FROM sync.row_state r
        JOIN sync.scope s USING (scope_id)
        JOIN sync.catalog c USING (table_id)
        LEFT JOIN sync.change_log l ON l.scope_id = r.scope_id AND l.seq = r.seq
        WHERE NOT r.deleted AND \(ofUser("r")) AND (
            c.key_kind = 'text' AND octet_length(r.key) NOT BETWEEN 1 AND \(RowKey.maximumTextBytes)
            OR CASE WHEN pg_column_size(l.payload) > \(UnsendableRow.largestBytes / bestCompression)
                THEN octet_length(l.payload::text) > \(UnsendableRow.largestBytes) END)
        """

    /// How much there is to check, for the summary.
    struct ReadTotals: TypedStatement {
        static let statement = Statement(
            name: "verify_totals",
            sql: """
                SELECT count(*), coalesce(sum(last_seq), 0)::bigint,
                    (SELECT count(*) FROM sync.row_state r WHERE NOT r.deleted AND \(ofUser("r")))
                FROM sync.scope s WHERE \(ofUser("s"))
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Verifier.Summary {
            Verifier.Summary(
                users: try columns.next(Int64.self), changes: try columns.next(Int64.self),
                rows: try columns.next(Int64.self))
        }
    }

    static let lockScopes = Statement(
        name: "repair_lock", sql: "SELECT sync.lock_scopes($1)", parameters: [.textArray])

    /// Makes a row's state what its newest change says; under the scope's lock. A state that knows a later
    /// version than the log is left: then it is the log that has lost something.
    static let repairStates = Statement(
        name: "verify_repair_states",
        sql: """
            INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
            SELECT DISTINCT ON (l.scope_id, l.table_id, l.key) l.scope_id, l.table_id, l.key, l.version, l.seq,
                l.op = 'D'
            FROM unnest($1::text[], $2::bytea[]) AS w(user_id, key)
            JOIN sync.scope s ON s.user_id = w.user_id
            JOIN sync.change_log l ON l.scope_id = s.scope_id AND l.table_id = $3 AND l.key = w.key
            ORDER BY l.scope_id, l.table_id, l.key, l.seq DESC
            ON CONFLICT (scope_id, table_id, key) DO UPDATE
            SET version = excluded.version, seq = excluded.seq, deleted = excluded.deleted
            WHERE excluded.version >= row_state.version
            """,
        parameters: [.textArray, .byteaArray, .int2])

    static func ofUser(_ row: String) -> String {
        "(\(user) IS NULL OR \(row).scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = \(user)))"
    }
}
