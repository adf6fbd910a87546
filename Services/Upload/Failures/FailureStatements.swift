import Foundation
import Postgres
import Protos

/// Statements about changes that a business table refused. A failure is open until it is marked resolved, or
/// its row has got as far without it.
enum FailureStatements {
    /// Open failures, newest first, and how far their rows have got without them.
    struct ReadFailures: TypedStatement {
        static let statement = Statement(
            name: "failures_list",
            sql: """
                SELECT f.id, s.user_id, d.device, c.schema_name, c.table_name,
                    sync.key_text(f.key, c.key_kind), f.attempted_version,
                    CASE f.op WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE' ELSE 'DELETE' END,
                    coalesce(f.payload::text, ''), f.source_change_id, f.sqlstate, f.error,
                    to_char(f.first_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    f.retry_count, coalesce(r.version, 0), f.content_hash, to_json(f.roles)::text
                FROM sync.materialize_failures f
                JOIN sync.scope s USING (scope_id)
                JOIN sync.catalog c USING (table_id)
                JOIN sync.source d USING (scope_id, source_no)
                LEFT JOIN sync.row_state r USING (scope_id, table_id, key)
                WHERE f.resolved_at IS NULL AND ($1 = '' OR c.schema_name = $1)
                    AND ($2 = '' OR c.table_name = $2) AND ($3 = '' OR s.user_id = $3)
                    AND ($4 = 0 OR f.id = $4)
                    AND ($4 <> 0 OR coalesce(r.version, 0) < f.attempted_version)
                ORDER BY f.first_seen DESC, f.id DESC LIMIT $5
                """,
            parameters: [.text, .text, .text, .int8, .int8])

        /// Restricts to a schema unless empty; so do the table and the user.
        var schema = ""
        var table = ""
        var user = ""
        /// Restricts to one failure unless 0. That one is listed even if its row has got further.
        var id: Int64 = 0
        /// The largest number of rows.
        let limit: Int64

        func bind(to bindings: inout Bindings) {
            for text in [schema, table, user] { bindings.bind(text) }
            bindings.bind(id)
            bindings.bind(limit)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> FailureStore.Entry {
            var failure = MaterializeFailure()
            failure.id = try columns.next(Int64.self)
            failure.user = try columns.next(String.self)
            failure.device = try columns.next(String.self)
            failure.schema = try columns.next(String.self)
            failure.table = try columns.next(String.self)
            failure.key = try columns.next(String.self)
            failure.attemptedVersion = try columns.next(Int64.self)
            failure.operation = try columns.next(String.self)
            failure.payload = try columns.next(String.self)
            failure.sourceChangeID = try columns.next(Int64.self)
            failure.sqlstate = try columns.next(String.self)
            failure.error = try columns.next(String.self)
            failure.firstSeen = try columns.next(String.self)
            failure.retryCount = try columns.next(Int32.self)
            return FailureStore.Entry(
                failure: failure, rowVersion: try columns.next(Int64.self),
                contentHash: try columns.next(Int64?.self),
                roles: roles(try columns.next(String?.self)))
        }

        /// An array of names as JSON.
        private static func roles(_ json: String?) -> [String] {
            json.flatMap { try? JSONDecoder().decode([String].self, from: Data($0.utf8)) } ?? []
        }
    }

    /// Fails with 55P03 while another session has the failure locked. The lock that it takes itself
    /// ends with the statement: the retry records what comes of it on another connection.
    static let probe = Statement(
        name: "failures_probe",
        sql: """
            SELECT FROM sync.materialize_failures WHERE id = $1 FOR NO KEY UPDATE NOWAIT
            """,
        parameters: [.int8])

    static let resolve = Statement(
        name: "failures_resolve",
        sql: "UPDATE sync.materialize_failures SET resolved_at = now() WHERE id = $1",
        parameters: [.int8])

    static let all = [ReadFailures.statement, probe, resolve]
}
