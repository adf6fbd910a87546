import Model
import Postgres

/// Statements about devices and users, for operators.
package enum DeviceAdministration {
    static let begin = Statement(name: "device_begin", sql: "BEGIN")
    static let commit = Statement(name: "device_commit", sql: "COMMIT")

    static let createScope = Statement(
        name: "device_create_scope",
        sql: "INSERT INTO sync.scope (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING",
        parameters: [.text])

    static let lockScope = Statement(
        name: "device_lock_scope",
        sql: "SELECT FROM sync.scope WHERE user_id = $1 FOR NO KEY UPDATE",
        parameters: [.text])

    struct List: TypedStatement {
        static let statement = Statement(
            name: "device_list",
            sql: """
                SELECT s.user_id, d.device,
                    greatest(d.max_change_id, l.source_change_id),
                    extract(epoch FROM date_trunc('second', d.last_seen))::bigint,
                    extract(epoch FROM date_trunc('second', l.ts))::bigint,
                    extract(epoch FROM date_trunc('second', d.revoked_at))::bigint
                FROM sync.scope s JOIN sync.source d USING (scope_id)
                LEFT JOIN LATERAL (
                    SELECT c.source_change_id, c.ts FROM sync.change_log c
                    WHERE c.scope_id = d.scope_id AND c.source_no = d.source_no
                    ORDER BY c.scope_id DESC, c.source_no DESC, c.source_change_id DESC LIMIT 1
                ) AS l ON true
                WHERE ($1::text IS NULL OR s.user_id = $1) AND ($2::text IS NULL OR d.device = $2)
                    AND (s.user_id > $3 OR s.user_id = $3 AND d.device > $4)
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
                revoked: try columns.next(Int64?.self))
        }
    }

    /// Writes down a change of access of the device `$2` of the user `$1`, by `$3`. Rows `d` say
    /// whether it is one.
    private static func recorded(_ action: String, _ done: String) -> String {
        """
        INSERT INTO sync.audit (actor, action, target, outcome, details)
        SELECT coalesce($3, session_user::text), '\(action)', $1 || '/' || $2,
            CASE WHEN d.is_change THEN '\(done)' ELSE 'unchanged' END,
            json_build_object('user', $1::text, 'device', $2::text)
        FROM d
        """
    }

    /// The device `$2` of the user `$1` as it was.
    private static let former = """
        SELECT f.scope_id, f.source_no, f.revoked_at FROM sync.source f
        JOIN sync.scope s USING (scope_id)
        WHERE s.user_id = $1 AND f.device = $2
        """

    /// Runs under the lock of the user's log. A device that never uploaded gets its number.
    static let revoke = Statement(
        name: "device_revoke",
        sql: """
            WITH former AS (\(former)), revoked AS (
                INSERT INTO sync.source AS d (scope_id, source_no, device, revoked_at)
                SELECT s.scope_id, 1 + coalesce((
                    SELECT n.source_no FROM sync.source n WHERE n.scope_id = s.scope_id
                    ORDER BY n.scope_id DESC, n.source_no DESC LIMIT 1), 0), $2, now()
                FROM sync.scope s WHERE s.user_id = $1
                ON CONFLICT (scope_id, device) DO UPDATE
                SET revoked_at = coalesce(d.revoked_at, excluded.revoked_at)
                RETURNING d.scope_id, d.source_no
            ), d AS (
                SELECT f.revoked_at IS NULL AS is_change
                FROM revoked LEFT JOIN former f USING (scope_id, source_no)
            ) \(recorded("device.revoke", "revoked"))
            """,
        parameters: [.text, .text, .text])

    /// Runs under the lock of the user's log. Does nothing for a device that is not known.
    static let restore = Statement(
        name: "device_restore",
        sql: """
            WITH former AS (\(former)), d AS (
                UPDATE sync.source t SET revoked_at = NULL FROM former f
                WHERE t.scope_id = f.scope_id AND t.source_no = f.source_no
                RETURNING f.revoked_at IS NOT NULL AS is_change
            ) \(recorded("device.restore", "restored"))
            """,
        parameters: [.text, .text, .text])

    struct ReadUser: TypedStatement {
        static let statement = Statement(
            name: "device_user",
            sql: """
                SELECT s.last_seq, s.floor_seq, d.known, d.revoked, (
                    SELECT count(*) FROM sync.materialize_failures f
                    WHERE f.scope_id = s.scope_id AND f.resolved_at IS NULL)
                FROM sync.scope s CROSS JOIN LATERAL (
                    SELECT count(*) AS known, count(d.revoked_at) AS revoked
                    FROM sync.source d WHERE d.scope_id = s.scope_id
                ) AS d
                WHERE s.user_id = $1
                """,
            parameters: [.text])

        let user: UserID

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> UserSummary {
            UserSummary(
                lastSequence: try columns.next(Int64.self), floor: try columns.next(Int64.self),
                devices: try columns.next(Int64.self),
                revokedDevices: try columns.next(Int64.self),
                rejectedChanges: try columns.next(Int64.self))
        }
    }

    package static let all = [
        begin, commit, createScope, lockScope, List.statement, revoke, restore, ReadUser.statement,
    ]
}
