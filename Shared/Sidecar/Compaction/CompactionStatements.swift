import Model
import Postgres

/// Users' logs, one after the other.
package enum Scopes {
    /// The log after another one, in the order of their numbers; nil after the last one.
    package static func next(
        after scope: ScopeID, of user: String? = nil, on connection: PostgresConnection
    ) async throws(PostgresError) -> (id: ScopeID, user: String)? {
        try await connection.run(
            CompactionStatements.ReadNextScope(after: scope, user: user)
        ).first()
    }
}

/// A statement about a stretch of a log, which answers what it concerned.
protocol StretchStatement: TypedStatement where Row == CompactionStatements.Removal {
    var stretch: CompactionStatements.Stretch { get }
}

extension StretchStatement {
    func bind(to bindings: inout Bindings) {
        stretch.bind(to: &bindings)
    }

    static func row(
        _ columns: inout RowColumns
    ) throws(PostgresError) -> CompactionStatements.Removal {
        CompactionStatements.Removal(
            count: try columns.next(Int64.self), next: try columns.next(Int64?.self))
    }
}

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
        /// The part begins after this sequence.
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
        /// The sequence after which the next stretch begins; nil after the last stretch.
        let next: Int64?
    }

    /// Removes the changes of a stretch that are not their row's newest.
    ///
    /// A device may send only the columns that it edited, so a change stays as long as the newest
    /// change lacks one of its members. A delete before a row that came back stays too, because it
    /// ends what stood before it.
    struct RemoveSuperseded: StretchStatement {
        static let statement = Statement(
            name: "compact_superseded",
            sql: """
                WITH \(stretchSQL), \(supersededSQL), \(removalSQL(raisesFloor: false))
                \(resultSQL(count: "removed"))
                """,
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch
    }

    /// The same for deletes that are their row's newest change. From then on a cursor before them
    /// is too old. The row's state stays: should the row come back, its versions go on where they
    /// were, and no device that knew it takes the new row for an old one.
    struct RemoveTombstones: StretchStatement {
        static let statement = Statement(
            name: "compact_tombstones",
            sql: """
                WITH \(stretchSQL), \(tombstonesSQL), \(removalSQL(raisesFloor: true))
                \(resultSQL(count: "removed"))
                """,
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch
    }

    /// What ``RemoveSuperseded`` would remove. Changes nothing.
    struct CountSuperseded: StretchStatement {
        static let statement = Statement(
            name: "compact_count_superseded",
            sql: "WITH \(stretchSQL), \(supersededSQL) \(resultSQL(count: "doomed"))",
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch
    }

    /// What ``RemoveTombstones`` would remove. Changes nothing.
    struct CountTombstones: StretchStatement {
        static let statement = Statement(
            name: "compact_count_tombstones",
            sql: "WITH \(stretchSQL), \(tombstonesSQL) \(resultSQL(count: "doomed"))",
            parameters: [.int8, .int8, .int8, .int8])

        let stretch: Stretch
    }

    /// Forgets atomic uploads with fewer than two changes left in the log: no page can end within
    /// them. The stretch is of atomic uploads, by their last changes; it needs no age.
    struct ForgetAtomicUploads: StretchStatement {
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
    }

    /// A hydration takes no longer than a day (`DownloadStatements.ReadScope`).
    package static let forgetHydrations = Statement(
        name: "compact_forget_hydrations",
        sql: "DELETE FROM sync.hydration WHERE started_at < now() - interval '1 day'")

    /// What devices said that have not come for `$1` seconds.
    package static let forgetReports = Statement(
        name: "compact_forget_reports",
        sql: """
            DELETE FROM sync.device_report
            WHERE greatest(reported_at, rejected_at) < now() - make_interval(secs => $1)
            """,
        parameters: [.float8])

    /// Numbers that devices leased more than `$1` seconds ago.
    package static let forgetLeases = Statement(
        name: "compact_forget_leases",
        sql: "DELETE FROM sync.key_lease WHERE leased_at < now() - make_interval(secs => $1)",
        parameters: [.float8])

    /// Changes that business tables have refused, oldest first, whether something has settled them
    /// since or not. A device that sends one again is recorded again.
    struct RemoveFailures: TypedStatement {
        static let statement = Statement(
            name: "compact_remove_failures",
            sql: """
                WITH removed AS (
                    DELETE FROM sync.materialize_failures WHERE id IN (
                        SELECT id FROM sync.materialize_failures
                        WHERE \(oldFailuresSQL)
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

    /// What ``RemoveFailures`` would remove. Changes nothing.
    struct CountFailures: TypedStatement {
        static let statement = Statement(
            name: "compact_count_failures",
            sql: "SELECT count(*) FROM sync.materialize_failures WHERE \(oldFailuresSQL)",
            parameters: [.float8, .text])

        /// In seconds.
        let age: Int64
        /// Nil for those of all users.
        let user: String?

        func bind(to bindings: inout Bindings) {
            bindings.bind(Double(age))
            bindings.bind(user)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    package static let all = [
        CountSuperseded.statement, CountTombstones.statement, CountFailures.statement,
        RemoveFailures.statement, ReadNextScope.statement, LockScope.statement,
        RemoveSuperseded.statement,
        RemoveTombstones.statement, ForgetAtomicUploads.statement, forgetHydrations, forgetReports,
        forgetLeases,
    ]
}

extension CompactionStatements {
    /// The end is found by sequence, not by each change's time: nothing after a change that stays
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

    private static let oldFailuresSQL = """
        first_seen < now() - make_interval(secs => $1) AND (
            $2::text IS NULL OR scope_id IN (SELECT scope_id FROM sync.scope WHERE user_id = $2))
        """

    private static let supersededSQL = """
        doomed AS (
            SELECT l.seq FROM stretch l JOIN sync.row_state r
                ON r.scope_id = $1 AND r.table_id = l.table_id AND r.key = l.key
            LEFT JOIN LATERAL (
                SELECT n.payload FROM sync.change_log n
                WHERE n.scope_id = $1 AND n.seq = r.seq AND n.op <> 'D' LIMIT 1
            ) AS newest ON true
            WHERE l.seq < r.seq AND l.seq < (SELECT seq FROM stop)
                AND CASE WHEN newest.payload IS NULL THEN true
                    WHEN l.op = 'D' OR \(BusinessComparison.isUnreadable("l.payload"))
                        OR \(BusinessComparison.isUnreadable("newest.payload")) THEN false
                    ELSE ARRAY(SELECT json_object_keys(l.payload))
                        <@ ARRAY(SELECT json_object_keys(newest.payload)) END
        )
        """

    private static let tombstonesSQL = """
        doomed AS (
            SELECT l.seq FROM stretch l JOIN sync.row_state r
                ON r.scope_id = $1 AND r.table_id = l.table_id AND r.key = l.key
            WHERE l.op = 'D' AND l.seq = r.seq AND l.seq < (SELECT seq FROM stop)
        )
        """

    /// - Parameter name: of what holds a row for each change that goes.
    private static func resultSQL(count name: String) -> String {
        """
        SELECT (SELECT count(*) FROM \(name)), CASE
            WHEN (SELECT count(*) FROM stretch WHERE seq < (SELECT seq FROM stop)) = $3
            THEN (SELECT max(seq) FROM stretch) END
        """
    }

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
        """
    }

    /// A delete can be the log's last change. Who knows of it is online, and must be able to prove
    /// that later: its tag stays. Anything else that goes has a newer change after it.
    ///
    /// With it goes when the change at the floor was made, for `sync.database_health`.
    private static let keepTagSQL = """
        , floor_at = CASE WHEN r.last > floor_seq
                THEN (SELECT d.ts FROM removed d WHERE d.seq = r.last) ELSE floor_at END,
            kept_seq = CASE WHEN r.last = last_seq THEN r.last ELSE kept_seq END,
            kept_tag = CASE WHEN r.last = last_seq THEN (
                SELECT sync.change_tag(d.seq, d.op, d.version, d.source_change_id, d.content_hash,
                    d.ts, d.key)
                FROM removed d WHERE d.seq = r.last) ELSE kept_tag END
        """
}

extension CompactionStatements.Stretch {
    fileprivate func bind(to bindings: inout Bindings) {
        for value in [scope, after, changes, age] { bindings.bind(value) }
    }
}
