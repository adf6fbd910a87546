import Model
import Postgres

/// The statements of a download. Those of a page run in one round trip and see one state of the database: it holds
/// everything up to the last sequence that was read before it (D1), and no delete is missing above the floor.
///
/// They only read: the service's role may do nothing else, and a hot standby would answer them too.
package enum DownloadStatements {
    /// Each statement by itself would see what was committed before it: compaction could remove deletes from the page
    /// after the floor was read that tells of it. In the transaction, so that it holds behind a transaction pooler too.
    package static let begin = Statement(
        name: "download_begin", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    package static let commit = Statement(name: "download_commit", sql: "COMMIT")

    /// The state of a user's log, with the floor at which the device began to read at 0, if that was lately
    /// (Upload's `NoteHydration`). A row for each of the user's devices, whose names tell where changes came from, and one
    /// where there are none; the last column is whether it is the device that asks, and revoked.
    package static let readScope = Statement(
        name: "download_scope",
        sql: """
            SELECT m.epoch::text, coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0), h.floor_seq,
                d.source_no, d.device, coalesce(d.device = $2 AND d.revoked_at IS NOT NULL, false)
            FROM sync.meta m
            LEFT JOIN sync.scope s ON s.user_id = $1
            LEFT JOIN sync.hydration h ON h.scope_id = s.scope_id AND h.device = $2
                AND h.started_at > now() - interval '1 day'
            LEFT JOIN sync.source d ON d.scope_id = s.scope_id
            """,
        parameters: [.text, .text])

    /// Bytes of a payload as stored, up to which it comes with its page at once, compressed or not.
    private static let smallPayloadBytes = 512
    /// The same, where it is not compressed: a page of such rows stays in memory as a whole.
    private static let plainPayloadBytes = 8000

    /// A page and one row more, which tells whether there is another. `$5` restricts to tables, `$6` leaves
    /// out one device; null does not. The answer is binary, and has a row's small numbers in one (`RowOrigin`):
    /// making text of times and numbers is a fifth of what PostgreSQL spends on such a page, two columns more
    /// are a tenth.
    ///
    /// A payload that is large, or may be once it is unpacked, is left null: a page of such rows could have any
    /// size, and is read with `readLargeRows`. Seeing how a value is stored costs nothing that can be measured.
    package static let readPage = page(
        "download_page",
        payload: """
            CASE WHEN pg_column_size(l.payload) <= \(smallPayloadBytes)
                    OR pg_column_size(l.payload) <= \(plainPayloadBytes)
                    AND pg_column_compression(l.payload) IS NULL
                THEN l.payload END
            """)

    /// The same with payloads of any size that devices can take, to be read row by row. A larger one, which the
    /// log has from before capture refused such, is null.
    package static let readLargeRows = page(
        "download_large_rows",
        payload: """
            CASE WHEN octet_length(l.payload::text) <= \(WireLimits.largestRowBytes) THEN l.payload END
            """)

    private static func page(_ name: String, payload: String) -> Statement {
        Statement(
            name: name,
            sql: """
                SELECT l.seq, \(RowOrigin.expression),
                    l.key, \(payload), l.version, l.source_change_id, l.ts
                FROM sync.change_log l
                WHERE l.scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = $1)
                    AND l.seq > $2 AND l.seq <= $3
                    AND ($5::int2[] IS NULL OR l.table_id = ANY ($5))
                    AND ($6::text IS NULL OR l.source_no IS DISTINCT FROM (
                        SELECT d.source_no FROM sync.source d
                        WHERE d.scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = $1)
                            AND d.device = $6))
                ORDER BY l.seq LIMIT $4
                """,
            parameters: [.text, .int8, .int8, .int8, .int2Array, .text], results: .binary)
    }

    /// Between the names of devices: a character that no name has, for names come from tokens, in which control
    /// characters are refused.
    static let deviceSeparator: Character = "\u{1F}"

    /// The states of many users at once, with their revoked devices.
    package static let readHeads = Statement(
        name: "download_heads",
        sql: """
            SELECT u, m.epoch::text, coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0), coalesce(
                (SELECT string_agg(d.device, E'\\x1F') FROM sync.source d
                 WHERE d.scope_id = s.scope_id AND d.revoked_at IS NOT NULL), '')
            FROM unnest($1::text[]) AS u CROSS JOIN sync.meta m
            LEFT JOIN LATERAL (SELECT * FROM sync.scope WHERE user_id = u LIMIT 1) AS s ON true
            """,
        parameters: [.textArray])

    /// A text that is another one as soon as a transaction that wrote anything has become visible.
    ///
    /// A snapshot names all transactions whose effects it shows, and changes in the same instant as what can be seen. (A
    /// position in the log of a primary would not do: a commit is written there before others see it.) A standby's
    /// snapshot does not name transactions in progress; there commits are seen before the replay position moves.
    package static let readMark = Statement(
        name: "download_mark",
        sql: """
            SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
                ELSE pg_current_snapshot()::text END
            """)

    /// Of many users, those whose last sequence is beyond the one that is known of them.
    package static let readGrown = Statement(
        name: "download_grown",
        sql: """
            SELECT u.name, s.last_seq
            FROM unnest($1::text[], $2::int8[]) AS u (name, known)
            CROSS JOIN LATERAL (SELECT last_seq FROM sync.scope WHERE user_id = u.name LIMIT 1) AS s
            WHERE s.last_seq > u.known
            """,
        parameters: [.textArray, .int8Array])

    /// Where a device stands. Of a user or device that never uploaded all but the epoch is empty.
    package static let readBootstrap = Statement(
        name: "download_bootstrap",
        sql: """
            SELECT m.epoch::text, coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0), d.source_no IS NOT NULL,
                greatest(d.max_change_id, (SELECT max(l.source_change_id) FROM sync.change_log l
                    WHERE l.scope_id = d.scope_id AND l.source_no = d.source_no), 0), d.revoked_at IS NOT NULL
            FROM sync.meta m
            LEFT JOIN sync.scope s ON s.user_id = $1
            LEFT JOIN sync.source d ON d.scope_id = s.scope_id AND d.device = $2
            """,
        parameters: [.text, .text])

    package static let all = [
        begin, commit, readScope, readPage, readLargeRows, readHeads, readMark, readGrown,
        readBootstrap,
    ]
}
