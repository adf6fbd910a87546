import Model
import Postgres
import WireJSON

/// What the log has of one row (`/admin/rows`).
package enum RowHistory {
    /// Changes at the end of a user's log that are looked through: no index has rows.
    static let stretch: Int64 = 200_000

    /// One change of the row.
    package struct Change: Hashable, Sendable {
        package let sequence: Sequence64
        /// `INSERT`, `UPDATE` or `DELETE`.
        package let operation: String
        package let version: RowVersion
        /// Nil for one that plain SQL made.
        package let device: String?
        package let changeID: ChangeID
        /// RFC 3339 in UTC.
        package let at: String
        /// JSON; nil for a delete.
        package let payload: String?

        package var document: JSONDocument {
            [
                "server_id": .integer(sequence), "op": .string(operation),
                "server_version": .integer(version), "source_id": device.map { .string($0) },
                "source_change_id": .integer(changeID), "ts": .string(at),
                "payload": payload.map { .written($0) },
            ]
        }
    }

    /// The newest changes of a row, newest first.
    package struct Read: TypedStatement {
        package static let statement = Statement(
            name: "row_history",
            sql: """
                SELECT l.seq, CASE l.op WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE'
                        ELSE 'DELETE' END,
                    l.version, d.device, l.source_change_id,
                    to_char(l.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    l.payload::text
                FROM sync.scope s
                JOIN sync.change_log l ON l.scope_id = s.scope_id
                    AND l.seq > s.last_seq - \(stretch) AND l.table_id = $2 AND l.key = $3
                LEFT JOIN sync.source d ON d.scope_id = l.scope_id AND d.source_no = l.source_no
                WHERE s.user_id = $1
                ORDER BY l.seq DESC LIMIT $4
                """,
            parameters: [.text, .int2, .bytea, .int8])

        let user: UserID
        let table: TableID
        let key: RowKey
        let limit: Int64

        package init(user: UserID, table: TableID, key: RowKey, limit: Int64) {
            (self.user, self.table, self.key, self.limit) = (user, table, key, limit)
        }

        package func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(table)
            key.withStoredBytes { bindings.bind(bytes: Array($0)) }
            bindings.bind(limit)
        }

        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> Change {
            Change(
                sequence: try columns.next(Int64.self), operation: try columns.next(String.self),
                version: try columns.next(Int64.self), device: try columns.next(String?.self),
                changeID: try columns.next(Int64.self), at: try columns.next(String.self),
                payload: try columns.next(String?.self))
        }
    }

    package static let all = [Read.statement]
}
