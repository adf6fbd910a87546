import Foundation
import Model
import Postgres

/// A change that a business table has refused, as the sidecar records it, and how far its row has
/// got without it.
package struct RecordedFailure: Hashable, Sendable {
    package let id: Int64
    package let place: DevicePlace
    package let table: TableName
    /// The row's key as the wire has it.
    package let key: String
    /// The version that the row would have got.
    package let attemptedVersion: RowVersion
    /// `INSERT`, `UPDATE` or `DELETE`.
    package let operation: String
    /// JSON, as its device sent it; empty for a delete.
    package let payload: String
    package let changeID: ChangeID
    package let sqlState: String
    /// What PostgreSQL said.
    package let error: String
    /// RFC 3339 in UTC.
    package let firstSeen: String
    package let retryCount: Int32
    /// 0: the row was never written.
    package let rowVersion: RowVersion
    /// Of what the device sent; nil where an older version recorded the failure.
    package let contentHash: Int64?
    /// Of the token that sent the change, where policies decide about a table.
    package let roles: [String]

    /// The row was written since: there is nothing left to do.
    package var isStale: Bool { rowVersion >= attemptedVersion }
}

/// Failures that nothing has settled since. A failure is open until it is marked resolved, or its
/// row has got as far without it.
package enum OpenFailures {
    /// Open failures, newest first.
    package struct List: TypedStatement {
        package static let statement = Statement(
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

        private let schema: String
        private let table: String
        private let user: String
        private let id: Int64
        private let limit: Int64

        /// - Parameters:
        ///   - schema: restricts to a schema unless empty; the table and the user do the same.
        ///   - limit: the largest number of rows.
        package init(schema: String = "", table: String = "", user: String = "", limit: Int64) {
            (self.schema, self.table, self.user, self.limit) = (schema, table, user, limit)
            id = 0
        }

        /// One failure, if it is not marked resolved; also if its row has got further.
        package init(id: Int64) {
            self.id = id
            (schema, table, user, limit) = ("", "", "", 1)
        }

        package func bind(to bindings: inout Bindings) {
            for text in [schema, table, user] { bindings.bind(text) }
            bindings.bind(id)
            bindings.bind(limit)
        }

        package static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> RecordedFailure {
            RecordedFailure(
                id: try columns.next(Int64.self),
                place: DevicePlace(
                    user: UserID(try columns.next(String.self)),
                    device: DeviceID(try columns.next(String.self))),
                table: TableName(
                    schema: try columns.next(String.self), table: try columns.next(String.self)),
                key: try columns.next(String.self),
                attemptedVersion: try columns.next(Int64.self),
                operation: try columns.next(String.self), payload: try columns.next(String.self),
                changeID: try columns.next(Int64.self), sqlState: try columns.next(String.self),
                error: try columns.next(String.self), firstSeen: try columns.next(String.self),
                retryCount: try columns.next(Int32.self), rowVersion: try columns.next(Int64.self),
                contentHash: try columns.next(Int64?.self),
                roles: roles(try columns.next(String?.self)))
        }

        /// An array of names as JSON.
        private static func roles(_ json: String?) -> [String] {
            json.flatMap { try? JSONDecoder().decode([String].self, from: Data($0.utf8)) } ?? []
        }
    }
}
