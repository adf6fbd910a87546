import Model
import Postgres
import WireJSON

/// Statements about what devices say of themselves.
package enum DeviceReports {
    /// Most devices of one statement.
    package static let devicesPerStatement = 500

    /// Keeps the newest of each device, in the order of scopes and devices, so that two replicas do
    /// not wait for each other. A user whose first device says something gets its log, as by its
    /// first upload; one of whom a token was rejected does not.
    package static let write = Statement(
        name: "device_report_write",
        sql: """
            WITH n AS (
                SELECT * FROM json_to_recordset($1::json)
                    AS n(user_id text, device text, report json, rejection text)
            ), made AS (
                INSERT INTO sync.scope (user_id)
                SELECT DISTINCT n.user_id FROM n
                WHERE n.report IS NOT NULL
                    AND NOT EXISTS (SELECT FROM sync.scope e WHERE e.user_id = n.user_id)
                ORDER BY n.user_id
                ON CONFLICT (user_id) DO NOTHING
                RETURNING scope_id, user_id
            ), s AS (
                SELECT e.scope_id, e.user_id FROM sync.scope e
                WHERE e.user_id IN (SELECT n.user_id FROM n)
                UNION ALL SELECT scope_id, user_id FROM made
            )
            INSERT INTO sync.device_report AS r
                (scope_id, device, reported_at, report, rejected_at, rejection)
            SELECT s.scope_id, n.device, CASE WHEN n.report IS NOT NULL THEN now() END, n.report,
                CASE WHEN n.rejection IS NOT NULL THEN now() END, n.rejection
            FROM n JOIN s ON s.user_id = n.user_id
            ORDER BY s.scope_id, n.device
            ON CONFLICT (scope_id, device) DO UPDATE SET
                reported_at = coalesce(excluded.reported_at, r.reported_at),
                report = coalesce(excluded.report, r.report),
                rejected_at = coalesce(excluded.rejected_at, r.rejected_at),
                rejection = coalesce(excluded.rejection, r.rejection)
            """,
        parameters: [.text])

    /// - Parameter heard: of at most ``devicesPerStatement`` devices.
    package static func write(_ heard: [(DevicePlace, HeardOfDevice)]) -> Command {
        let rows: [JSONDocument] = heard.map { place, heard in
            [
                "user_id": .string(place.user.value), "device": .string(place.device.value),
                "report": heard.report, "rejection": heard.rejection.map { .string($0) },
            ]
        }
        var bindings = Bindings()
        bindings.bind(JSONDocument.array(rows).text)
        return Command(write, bindings)
    }

    /// What the server knows of one device.
    package struct ReadFacts: TypedStatement {
        /// How many changes after a device's cursor are looked at.
        static let maximumWaiting: Int64 = 10_000

        package static let statement = Statement(
            name: "device_facts",
            sql: """
                SELECT extract(epoch FROM now())::bigint, s.last_seq,
                    (SELECT m.epoch::text FROM sync.meta m),
                    extract(epoch FROM d.revoked_at)::bigint, extract(epoch FROM u.ts)::bigint,
                    extract(epoch FROM r.reported_at)::bigint, r.report::text,
                    extract(epoch FROM r.rejected_at)::bigint, r.rejection,
                    f.count, f.place, f.sqlstate, w.count, extract(epoch FROM w.oldest)::bigint,
                    t.registered, t.removed
                FROM sync.scope s
                LEFT JOIN sync.source d ON d.scope_id = s.scope_id AND d.device = $2
                LEFT JOIN sync.device_report r ON r.scope_id = s.scope_id AND r.device = $2
                LEFT JOIN LATERAL (
                    SELECT c.ts FROM sync.change_log c
                    WHERE c.scope_id = s.scope_id AND c.source_no = d.source_no
                    ORDER BY c.scope_id DESC, c.source_no DESC, c.source_change_id DESC LIMIT 1
                ) AS u ON true
                CROSS JOIN LATERAL (
                    SELECT count(*), (array_agg(c.schema_name || '.' || c.table_name
                            ORDER BY m.id DESC))[1] AS place,
                        (array_agg(m.sqlstate ORDER BY m.id DESC))[1] AS sqlstate
                    FROM sync.materialize_failures m
                    JOIN sync.catalog c USING (table_id)
                    LEFT JOIN sync.row_state e USING (scope_id, table_id, key)
                    WHERE m.scope_id = s.scope_id AND m.source_no = d.source_no
                        AND m.resolved_at IS NULL AND coalesce(e.version, 0) < m.attempted_version
                ) AS f
                CROSS JOIN LATERAL (
                    SELECT count(*), min(l.ts) AS oldest FROM (
                        SELECT c.ts, c.source_no FROM sync.change_log c
                        WHERE c.scope_id = s.scope_id AND c.seq > (r.report ->> 'cursor')::bigint
                        ORDER BY c.seq LIMIT $3
                    ) AS l WHERE l.source_no IS DISTINCT FROM d.source_no
                ) AS w
                CROSS JOIN LATERAL (
                    SELECT count(*) FILTER (WHERE c.removed_at IS NULL) AS registered,
                        coalesce(string_agg(c.table_name, ' ')
                            FILTER (WHERE c.removed_at IS NOT NULL), '') AS removed
                    FROM sync.catalog c
                    WHERE c.schema_name = coalesce(nullif(r.report ->> 'schema', ''), 'public')
                ) AS t
                WHERE s.user_id = $1 AND (d.scope_id IS NOT NULL OR r.scope_id IS NOT NULL)
                """,
            parameters: [.text, .text, .int8])

        let place: DevicePlace

        package func bind(to bindings: inout Bindings) {
            bindings.bind(place.user.value)
            bindings.bind(place.device.value)
            bindings.bind(Self.maximumWaiting)
        }

        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> DeviceFacts {
            DeviceFacts(
                now: try columns.next(Int64.self), logEnd: try columns.next(Int64.self),
                epoch: try columns.next(String.self), revoked: try columns.next(Int64?.self),
                lastUpload: try columns.next(Int64?.self), reported: try columns.next(Int64?.self),
                report: try columns.next(String?.self).flatMap(StoredReport.init(json:)),
                tokenRejected: try columns.next(Int64?.self),
                rejection: try columns.next(String?.self),
                failures: try columns.next(Int64.self),
                failedTable: try columns.next(String?.self),
                sqlState: try columns.next(String?.self), waiting: try columns.next(Int64.self),
                waitingSince: try columns.next(Int64?.self),
                registeredTables: try columns.next(Int64.self),
                removedTables: try columns.next(String.self)
                    .split(separator: " ").map(String.init))
        }
    }

    static let all = [write, ReadFacts.statement]
}

/// What the server knows of one device. Times are seconds since 1970, by PostgreSQL's clock.
package struct DeviceFacts: Hashable, Sendable {
    package var now: Int64
    /// The last sequence of the user's log.
    package var logEnd: Int64
    package var epoch: String
    package var revoked: Int64?
    /// When the newest of its changes that are in the log came.
    package var lastUpload: Int64?
    package var reported: Int64?
    package var report: StoredReport?
    package var tokenRejected: Int64?
    package var rejection: String?
    /// Its changes that a table refused and that nothing has settled since.
    package var failures: Int64
    /// The table and SQLSTATE of the newest of them.
    package var failedTable: String?
    package var sqlState: String?
    /// Others' changes after its cursor, and when the oldest of them was committed.
    package var waiting: Int64
    package var waitingSince: Int64?
    /// Of the schema that the device asks for.
    package var registeredTables: Int64
    /// Tables of that schema that are no longer registered.
    package var removedTables: [String]
}
