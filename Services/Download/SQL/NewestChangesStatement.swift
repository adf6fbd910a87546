import Model
import Postgres
import Sidecar

extension DownloadStatements {
    /// The newest changes of some rows, in log order: as a page has them, each with the name of its
    /// device. Deletes that compaction has removed are missing, as from a page.
    ///
    /// The rows of one answer are bounded by their bytes; the first comes whatever its size.
    struct ReadNewestChanges: TypedStatement {
        static let statement = Statement(
            name: "download_rows",
            sql: """
                SELECT l.seq, \(RowOrigin.expression), l.key,
                    CASE WHEN l.bytes <= \(WireLimits.largestRowBytes) THEN l.payload END,
                    l.version, l.source_change_id, l.ts, d.device, l.total
                FROM (
                    SELECT e.*, octet_length(e.payload::text) AS bytes, count(*) OVER () AS total,
                        row_number() OVER (ORDER BY e.seq) AS place,
                        sum(octet_length(e.payload::text)) OVER (ORDER BY e.seq) AS running
                    FROM unnest($4::bytea[]) AS k(key)
                    CROSS JOIN LATERAL (
                        SELECT r.seq FROM sync.row_state r
                        WHERE r.scope_id = $1 AND r.table_id = $3 AND r.key = k.key LIMIT 1
                    ) AS n
                    CROSS JOIN LATERAL (
                        SELECT * FROM sync.change_log c
                        WHERE c.scope_id = $1 AND c.seq = n.seq AND c.seq > $5 LIMIT 1
                    ) AS e
                    WHERE \(NamedScope.isUsers)
                ) AS l
                LEFT JOIN LATERAL (
                    SELECT o.device FROM sync.source o
                    WHERE o.scope_id = $1 AND o.source_no = l.source_no LIMIT 1
                ) AS d ON true
                WHERE l.place = 1 OR coalesce(l.running, 0) <= $6
                ORDER BY l.seq
                """,
            parameters: [.int8, .text, .int2, .byteaArray, .int8, .int8], results: .binary)

        let scope: NamedScope
        let table: TableID
        let keys: [RowKey]
        /// Their sequences are above this one.
        let after: Sequence64
        /// The largest number of bytes of all payloads, but for the first.
        let bytes: Int

        struct Row {
            let row: PageRow
            /// Nil for what plain SQL wrote.
            let device: String?
            /// How many rows there are, with those that have no room.
            let total: Int64
        }

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(table)
            var array = ArrayBinding(of: .bytea, reserving: keys.count)
            for key in keys { key.withStoredBytes { array.append(bytes: $0) } }
            bindings.bind(array)
            bindings.bind(after)
            bindings.bind(Int64(bytes))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let row = try PageRow(&columns)
            return Row(
                row: row, device: try columns.next(String?.self),
                total: try columns.next(Int64.self))
        }
    }
}
