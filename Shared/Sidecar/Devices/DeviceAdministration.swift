import Model
import Postgres

/// Statements about devices and users, for operators.
package enum DeviceAdministration {
    static let begin = Statement(name: "device_begin", sql: "BEGIN")
    static let commit = Statement(name: "device_commit", sql: "COMMIT")

    struct List: TypedStatement {
        static let statement = Statement(
            name: "device_list",
            sql: """
                SELECT s.user_id, d.device,
                    greatest(d.max_change_id, l.source_change_id),
                    extract(epoch FROM date_trunc('second', d.last_seen))::bigint,
                    extract(epoch FROM date_trunc('second', l.ts))::bigint,
                    extract(epoch FROM date_trunc('second', d.revoked_at))::bigint,
                    extract(epoch FROM date_trunc('second', r.reported_at))::bigint,
                    r.report::text,
                    extract(epoch FROM date_trunc('second', r.rejected_at))::bigint, r.rejection,
                    s.last_seq
                FROM sync.scope s
                CROSS JOIN LATERAL (
                    SELECT e.device, e.source_no, e.max_change_id, e.last_seen, e.revoked_at
                    FROM sync.source e WHERE e.scope_id = s.scope_id
                    UNION ALL
                    SELECT o.device, NULL, 0, o.first_seen, NULL
                    FROM sync.device_report o
                    WHERE o.scope_id = s.scope_id AND NOT EXISTS (
                        SELECT FROM sync.source k
                        WHERE k.scope_id = o.scope_id AND k.device = o.device)
                ) AS d
                LEFT JOIN sync.device_report r ON r.scope_id = s.scope_id AND r.device = d.device
                LEFT JOIN LATERAL (
                    SELECT c.source_change_id, c.ts FROM sync.change_log c
                    WHERE c.scope_id = s.scope_id AND c.source_no = d.source_no
                    ORDER BY c.scope_id DESC, c.source_no DESC, c.source_change_id DESC LIMIT 1
                ) AS l ON true
                WHERE ($1::text IS NULL OR s.user_id = $1) AND ($2::text IS NULL OR d.device = $2)
                    AND s.user_id >= $3 AND (s.user_id > $3 OR d.device > $4)
                ORDER BY s.user_id, d.device
                LIMIT $5
                """,
            parameters: [.text, .text, .text, .text, .int8])

        let user: UserID?
        let device: DeviceID?
        let after: DevicePlace?
        let limit: Int

        func bind(to bindings: inout Bindings) {
            bindings.bind(user?.value)
            bindings.bind(device?.value)
            bindings.bind(after?.user.value ?? "")
            bindings.bind(after?.device.value ?? "")
            bindings.bind(Int64(limit))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Device {
            Device(
                user: UserID(try columns.next(String.self)),
                device: DeviceID(try columns.next(String.self)),
                lastChangeID: try columns.next(Int64.self),
                firstSeen: try columns.next(Int64.self), lastUpload: try columns.next(Int64?.self),
                revoked: try columns.next(Int64?.self), reported: try columns.next(Int64?.self),
                report: try columns.next(String?.self),
                tokenRejected: try columns.next(Int64?.self),
                rejection: try columns.next(String?.self), logEnd: try columns.next(Int64.self))
        }
    }

    /// Revokes the device `$2` of the user `$1`, under the lock of the user's log. One that never
    /// uploaded gets its number.
    static let revoke = Statement(
        name: "device_revoke",
        sql: """
            INSERT INTO sync.source AS d (scope_id, source_no, device, revoked_at)
            SELECT s.scope_id, 1 + coalesce((
                SELECT n.source_no FROM sync.source n WHERE n.scope_id = s.scope_id
                ORDER BY n.scope_id DESC, n.source_no DESC LIMIT 1), 0), $2, now()
            FROM sync.scope s WHERE s.user_id = $1
            ON CONFLICT (scope_id, device) DO UPDATE
            SET revoked_at = coalesce(d.revoked_at, excluded.revoked_at)
            """,
        parameters: [.text, .text])

    /// Gives the device `$2` of the user `$1` its access back. Does nothing for one that is not
    /// known.
    static let restore = Statement(
        name: "device_restore",
        sql: """
            UPDATE sync.source d SET revoked_at = NULL FROM sync.scope s
            WHERE s.user_id = $1 AND d.scope_id = s.scope_id AND d.device = $2
            """,
        parameters: [.text, .text])

    /// Rows and bytes are those of `sync.usage` where they are counted to the end of the log. Where
    /// they are not, the bytes are unknown: no payload is unpacked. Rows are counted up to `$2`, of
    /// those that are deleted too.
    struct ReadUser: TypedStatement {
        /// Rows that are counted for one answer.
        static let maximumRows: Int64 = 100_000

        static let statement = Statement(
            name: "device_user",
            sql: """
                SELECT s.last_seq, s.floor_seq, d.known, d.revoked, (
                    SELECT count(*) FROM sync.materialize_failures f
                    WHERE f.scope_id = s.scope_id AND f.resolved_at IS NULL),
                    coalesce(u.live_rows, r.live), coalesce(r.seen, 0) > $2, u.payload_bytes,
                    k.payload_bytes, k.counted_seq
                FROM sync.scope s CROSS JOIN LATERAL (
                    SELECT count(*) AS known, count(d.revoked_at) AS revoked
                    FROM sync.source d WHERE d.scope_id = s.scope_id
                ) AS d
                LEFT JOIN sync.usage k ON k.scope_id = s.scope_id
                LEFT JOIN sync.usage u ON u.scope_id = s.scope_id AND u.counted_seq = s.last_seq
                CROSS JOIN LATERAL (
                    SELECT count(*) FILTER (WHERE NOT r.deleted) AS live, count(*) AS seen
                    FROM (
                        SELECT e.deleted FROM sync.row_state e
                        WHERE e.scope_id = s.scope_id AND u.scope_id IS NULL
                        LIMIT $2 + 1
                    ) AS r
                ) AS r
                WHERE s.user_id = $1
                """,
            parameters: [.text, .int8])

        let user: UserID
        var rows = maximumRows

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(rows)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> UserSummary {
            UserSummary(
                lastSequence: try columns.next(Int64.self), floor: try columns.next(Int64.self),
                devices: try columns.next(Int64.self),
                revokedDevices: try columns.next(Int64.self),
                rejectedChanges: try columns.next(Int64.self),
                rows: try columns.next(Int64.self), hasMoreRows: try columns.next(Bool.self),
                bytes: try columns.next(Int64?.self),
                countedBytes: try columns.next(Int64?.self),
                countedSequence: try columns.next(Int64?.self))
        }
    }

    /// The quotas that Upload was started with last.
    struct ReadQuotas: TypedStatement {
        static let statement = Statement(
            name: "device_quotas",
            sql: "SELECT q.rows, q.bytes, q.devices FROM sync.quotas() AS q")

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> UserQuotas {
            UserQuotas(
                rows: try columns.next(String?.self).flatMap { Int64($0) },
                bytes: try columns.next(String?.self).flatMap { Int64($0) },
                devices: try columns.next(String?.self).flatMap { Int64($0) })
        }
    }

    /// In addition to those of ``UserScope``.
    package static let all =
        [
            begin, commit, List.statement, revoke, restore, ReadUser.statement,
            ReadQuotas.statement,
        ] + DeviceReports.all
}
