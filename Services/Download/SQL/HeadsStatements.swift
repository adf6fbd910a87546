import Model
import Postgres

extension DownloadStatements {
    /// The states of many users at once, with their revoked devices.
    struct ReadHeads: TypedStatement {
        static let statement = Statement(
            name: "download_heads",
            sql: """
                SELECT u, m.epoch::text, coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0),
                    CASE WHEN s.tagged_seq = s.last_seq THEN s.last_tag END,
                    coalesce((SELECT string_agg(d.device, E'\\x1F') FROM sync.source d
                        WHERE d.scope_id = s.scope_id AND d.revoked_at IS NOT NULL), '')
                FROM unnest($1::text[]) AS u CROSS JOIN sync.meta m
                LEFT JOIN LATERAL (SELECT * FROM sync.scope WHERE user_id = u LIMIT 1) AS s ON true
                """,
            parameters: [.textArray])

        /// Between the names of devices: a character that no name has, for names come from tokens,
        /// in which control characters are refused.
        private static let deviceSeparator: Character = "\u{1F}"

        let users: ArraySlice<UserID>

        struct Row {
            let user: UserID
            let state: ScopeState
            let revoked: Set<DeviceID>
        }

        func bind(to bindings: inout Bindings) {
            var names = ArrayBinding(of: .text, reserving: users.count)
            for user in users { names.append(user.value) }
            bindings.bind(names)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let user = UserID(try columns.next(String.self))
            let state = ScopeState(
                epoch: try columns.next(String.self), head: try columns.next(Int64.self),
                floor: try columns.next(Int64.self),
                tag: try columns.next(Int64?.self).map { UInt64(bitPattern: $0) })
            let revoked = try columns.next(String.self).split(separator: deviceSeparator)
            return Row(
                user: user, state: state, revoked: Set(revoked.map { DeviceID(String($0)) }))
        }
    }

    /// A text that changes as soon as a transaction that wrote anything has become visible.
    ///
    /// A snapshot names all transactions whose effects it shows, and changes in the same instant as
    /// what can be seen. (A position in a primary's log would not do: a commit is written there
    /// before others see it.) A standby's snapshot does not name transactions in progress; there
    /// commits are seen before the replay position moves.
    ///
    /// It comes with what names the database: after a failover, or once a backup has taken the
    /// database's place, it is another one, and nothing that was known of the first holds. All
    /// standbys of one history have one name: a balancer may lead to another one with each
    /// connection. The history is that of the cluster and its timeline. A failover or a restore to
    /// a point in time starts a new timeline. (A standby that follows such a primary without being
    /// rebuilt has no change that the primary lacks, so its name may follow with its next
    /// checkpoint.)
    struct ReadMark: TypedStatement {
        static let statement = Statement(
            name: "download_mark",
            sql: """
                SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
                    ELSE pg_current_snapshot()::text END,
                    concat_ws(' ', CASE WHEN pg_is_in_recovery() THEN (
                                SELECT concat_ws(' ', 'standby', s.system_identifier, c.timeline_id)
                                FROM pg_control_system() s, pg_control_checkpoint() c)
                            ELSE extract(epoch FROM pg_postmaster_start_time())::text END, (
                        SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (mark: String, database: String) {
            (try columns.next(String.self), try columns.next(String.self))
        }
    }

    /// Finds users whose last sequence is beyond the known one, with the time of the first change
    /// beyond it: the delivery lag counts from that time.
    struct ReadGrown: TypedStatement {
        static let statement = Statement(
            name: "download_grown",
            sql: """
                SELECT u.name, s.last_seq, CASE WHEN s.tagged_seq = s.last_seq THEN s.last_tag END,
                    (SELECT (extract(epoch FROM l.ts) * 1000000)::int8 FROM sync.change_log l
                        WHERE l.scope_id = s.scope_id AND l.seq > u.known ORDER BY l.seq LIMIT 1)
                FROM unnest($1::text[], $2::int8[]) AS u (name, known)
                CROSS JOIN LATERAL (
                    SELECT scope_id, last_seq, tagged_seq, last_tag FROM sync.scope
                    WHERE user_id = u.name LIMIT 1
                ) AS s
                WHERE s.last_seq > u.known
                """,
            parameters: [.textArray, .int8Array])

        /// Each user with the last sequence that is known.
        let users: ArraySlice<(UserID, Sequence64)>

        func bind(to bindings: inout Bindings) {
            var names = ArrayBinding(of: .text, reserving: users.count)
            var known = ArrayBinding(of: .int8, reserving: users.count)
            for (user, head) in users {
                names.append(user.value)
                known.append(head)
            }
            bindings.bind(names)
            bindings.bind(known)
        }

        struct Row {
            let user: UserID
            let head: Sequence64
            let tag: UInt64?
            let committed: CommitTime?
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                user: UserID(try columns.next(String.self)), head: try columns.next(Int64.self),
                tag: try columns.next(Int64?.self).map { UInt64(bitPattern: $0) },
                committed: try columns.next(Int64?.self).map(CommitTime.init(microseconds:)))
        }
    }
}
