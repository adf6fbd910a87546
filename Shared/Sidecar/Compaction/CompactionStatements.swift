import Model
import Postgres

/// Under the scope's lock no change is added, so what is newest stays newest.
package enum CompactionStatements {
    static let begin = Statement(name: "compact_begin", sql: "BEGIN")
    static let commit = Statement(name: "compact_commit", sql: "COMMIT")

    /// The scope after another one, in the order of their ids.
    struct ReadNextScope: TypedStatement {
        static let statement = Statement(
            name: "compact_next_scope",
            sql: """
                SELECT scope_id, user_id FROM sync.scope
                WHERE scope_id > $1 AND ($2::text IS NULL OR user_id = $2) ORDER BY scope_id LIMIT 1
                """,
            parameters: [.int8, .text])

        let after: Int64
        /// Nil for the scopes of all users.
        let user: String?

        func bind(to bindings: inout Bindings) {
            bindings.bind(after)
            bindings.bind(user)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (id: Int64, user: String) {
            (try columns.next(Int64.self), try columns.next(String.self))
        }
    }

    struct LockScope: TypedStatement {
        static let statement = Statement(
            name: "compact_lock_scope",
            sql: "SELECT FROM sync.scope WHERE scope_id = $1 FOR NO KEY UPDATE",
            parameters: [.int8])

        let scope: Int64

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
        }
    }

    /// A part of a scope's log in which a statement removes changes, up to the first change that is
    /// too young.
    struct Stretch {
        let scope: Int64
        /// The part begins behind this sequence.
        let after: Int64
        /// The largest number of changes in the part.
        let changes: Int64
        /// The youngest age of a change that may go, in seconds.
        let age: Int64
    }

    /// What a statement did to a stretch of a log.
    struct Removal {
        /// How many changes it removed.
        let count: Int64
        /// The sequence behind which the next stretch begins; nil after the last stretch.
        let next: Int64?
    }

    /// Removes the changes of a stretch that are not their row's newest.
    ///
    /// A device may send only the columns that it edited: a change stays as long as the newest
    /// lacks one of its members, and so does a delete before a row that came back, which ends what
    /// stood before it.
    struct RemoveSuperseded: TypedStatement {
        static let statement = Statement(
            name: "compact_superseded",
            sql: """
                WITH \(stretchSQL), doomed AS (
                    SELECT l.seq FROM stretch l JOIN sync.row_state r
                        ON r.scope_id = $1 AND r.table_id = l.table_id AND r.key = l.key
                    LEFT JOIN LATERAL (
                        SELECT n.payload FROM sync.change_log n
                        WHERE n.scope_id = $1 AND n.seq = r.seq AND n.op <> 'D' LIMIT 1
                    ) AS newest ON true
                    WHERE l.seq < r.seq AND l.seq < (SELECT seq FROM stop)
                        AND (newest.payload IS NULL OR l.op <> 'D'
                            AND ARRAY(SELECT json_object_keys(l.payload))
                                <@ ARRAY(SELECT json_object_keys(newest.payload)))
                ), \(removalSQL(raisesFloor: false))
                """,
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch

        func bind(to bindings: inout Bindings) {
            stretch.bind(to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Removal {
            try removal(&columns)
        }
    }

    /// The same for deletes that are their row's newest change. From then on a cursor before them
    /// is too old. The row's state stays: should the row come back, its versions go on where they
    /// were, and no device that knew it takes the new row for an old one.
    struct RemoveTombstones: TypedStatement {
        static let statement = Statement(
            name: "compact_tombstones",
            sql: """
                WITH \(stretchSQL), doomed AS (
                    SELECT l.seq FROM stretch l JOIN sync.row_state r
                        ON r.scope_id = $1 AND r.table_id = l.table_id AND r.key = l.key
                    WHERE l.op = 'D' AND l.seq = r.seq AND l.seq < (SELECT seq FROM stop)
                ), \(removalSQL(raisesFloor: true))
                """,
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch

        func bind(to bindings: inout Bindings) {
            stretch.bind(to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Removal {
            try removal(&columns)
        }
    }

    /// Forgets the atomic uploads of which the log has fewer than two changes left: no page can end
    /// within them. The stretch is of atomic uploads, by their last changes; it needs no age.
    struct ForgetAtomicUploads: TypedStatement {
        static let statement = Statement(
            name: "compact_forget_atomic",
            sql: """
                WITH stretch AS (
                    SELECT first_seq, last_seq FROM sync.atomic_upload
                    WHERE scope_id = $1 AND last_seq > $2 ORDER BY last_seq LIMIT $3
                ), doomed AS (
                    SELECT a.last_seq FROM stretch a WHERE (
                        SELECT count(*) FROM (
                            SELECT FROM sync.change_log l
                            WHERE l.scope_id = $1 AND l.seq BETWEEN a.first_seq AND a.last_seq
                            LIMIT 2
                        ) AS l) < 2
                ), removed AS (
                    DELETE FROM sync.atomic_upload
                    WHERE scope_id = $1 AND last_seq IN (SELECT last_seq FROM doomed)
                    RETURNING 1
                )
                SELECT (SELECT count(*) FROM removed),
                    CASE WHEN (SELECT count(*) FROM stretch) = $3
                        THEN (SELECT max(last_seq) FROM stretch) END
                """,
            parameters: [.int8, .int8, .int8])

        let stretch: Stretch

        func bind(to bindings: inout Bindings) {
            for value in [stretch.scope, stretch.after, stretch.changes] { bindings.bind(value) }
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Removal {
            try removal(&columns)
        }
    }

    /// A hydration takes no longer than a day (`DownloadStatements.ReadScope`).
    package static let forgetHydrations = Statement(
        name: "compact_forget_hydrations",
        sql: "DELETE FROM sync.hydration WHERE started_at < now() - interval '1 day'")

    /// Changes that business tables have refused, oldest first, whether something has settled them
    /// since or not. A device that sends one again is recorded again.
    struct RemoveFailures: TypedStatement {
        static let statement = Statement(
            name: "compact_remove_failures",
            sql: """
                WITH removed AS (
                    DELETE FROM sync.materialize_failures WHERE id IN (
                        SELECT id FROM sync.materialize_failures
                        WHERE first_seen < now() - make_interval(secs => $1) AND (
                            $2::text IS NULL
                            OR scope_id IN (SELECT scope_id FROM sync.scope WHERE user_id = $2))
                        ORDER BY id LIMIT $3)
                    RETURNING id
                )
                SELECT count(*) FROM removed
                """,
            parameters: [.float8, .text, .int8])

        /// In seconds.
        let age: Int64
        /// Nil for those of all users.
        let user: String?
        /// The most that go at once.
        let limit: Int64

        func bind(to bindings: inout Bindings) {
            bindings.bind(Double(age))
            bindings.bind(user)
            bindings.bind(limit)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    package static let all = [
        RemoveFailures.statement, ReadNextScope.statement, LockScope.statement,
        RemoveSuperseded.statement,
        RemoveTombstones.statement, ForgetAtomicUploads.statement, forgetHydrations,
    ]
}

extension CompactionStatements {
    /// The end is found by sequence, not by each change's time: nothing behind a change that stays
    /// for being young goes before it, whatever the server's clock has done.
    private static let stretchSQL = """
        stretch AS (
            SELECT seq, table_id, key, op, payload, ts FROM sync.change_log
            WHERE scope_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
        ), stop AS (
            SELECT coalesce(min(seq), 9223372036854775807) AS seq FROM stretch
            WHERE ts >= now() - make_interval(secs => $4)
        )
        """

    /// What goes stays counted: for `oversync verify`, and its change ids, so that a device is given
    /// no used one.
    private static func removalSQL(raisesFloor: Bool) -> String {
        """
        removed AS (
            DELETE FROM sync.change_log WHERE scope_id = $1 AND seq IN (SELECT seq FROM doomed)
            RETURNING seq, source_no, source_change_id\(
                raisesFloor ? ", op, version, content_hash, ts, key" : "")
        ), ids AS (
            UPDATE sync.source d SET max_change_id = greatest(d.max_change_id, r.highest)
            FROM (SELECT source_no, max(source_change_id) AS highest FROM removed
                WHERE source_change_id <= \(WireNumber.maximum) GROUP BY 1) AS r
            WHERE d.scope_id = $1 AND d.source_no = r.source_no
        ), counted AS (
            UPDATE sync.scope SET compacted_count = compacted_count + r.count,
                compacted_seq = greatest(compacted_seq, r.last)\(
                    raisesFloor ? ", floor_seq = greatest(floor_seq, r.last)" + keepTagSQL : "")
            FROM (SELECT count(*) AS count, max(seq) AS last FROM removed) AS r
            WHERE scope_id = $1 AND r.count > 0
        )
        SELECT (SELECT count(*) FROM removed), CASE
            WHEN (SELECT count(*) FROM stretch WHERE seq < (SELECT seq FROM stop)) = $3
            THEN (SELECT max(seq) FROM stretch) END
        """
    }

    /// A delete can be the log's last change. Who knows of it is online, and must be able to prove
    /// that later: its tag stays. Anything else that goes has a newer change behind it.
    private static let keepTagSQL = """
        , kept_seq = CASE WHEN r.last = last_seq THEN r.last ELSE kept_seq END,
            kept_tag = CASE WHEN r.last = last_seq THEN (
                SELECT sync.change_tag(d.seq, d.op, d.version, d.source_change_id, d.content_hash,
                    d.ts, d.key)
                FROM removed d WHERE d.seq = r.last) ELSE kept_tag END
        """

    /// Reads the columns that `removalSQL(raisesFloor:)` ends with.
    private static func removal(_ columns: inout RowColumns) throws(PostgresError) -> Removal {
        Removal(count: try columns.next(Int64.self), next: try columns.next(Int64?.self))
    }
}

extension CompactionStatements.Stretch {
    fileprivate func bind(to bindings: inout Bindings) {
        for value in [scope, after, changes, age] { bindings.bind(value) }
    }
}
