import Model
import Postgres
import Sidecar

/// An atomic upload that made more than one change: a page has all of it or nothing.
struct AtomicUpload: Hashable, Sendable {
    /// Its part of the user's log.
    let sequences: ClosedRange<Sequence64>
    /// The device that sent it, by its number among the user's.
    let source: Int32
    /// Nil if there is no such device.
    let device: String?
}

extension DownloadStatements {
    /// The atomic upload that a page which ends at a change has a part of. Answers no row if there
    /// is none, and if the scope is not the user's any more.
    struct ReadAtomicUpload: TypedStatement {
        static let statement = Statement(
            name: "download_atomic_upload",
            sql: """
                SELECT a.first_seq, a.last_seq, a.source_no, d.device
                FROM (
                    SELECT u.first_seq, u.last_seq, u.source_no FROM sync.atomic_upload u
                    WHERE u.scope_id = $1 AND \(NamedScope.isUsers) AND u.last_seq > $3
                    ORDER BY u.last_seq LIMIT 1
                ) AS a
                LEFT JOIN LATERAL (
                    SELECT e.device FROM sync.source e
                    WHERE e.scope_id = $1 AND e.source_no = a.source_no LIMIT 1
                ) AS d ON true
                WHERE a.first_seq <= $3
                """,
            parameters: [.int8, .text, .int8])

        let scope: NamedScope
        /// The last sequence of the page.
        let end: Sequence64

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(end)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> AtomicUpload {
            let first = try columns.next(Int64.self)
            let last = try columns.next(Int64.self)
            // The condition leaves no other order: `first_seq <= $3 < last_seq`.
            return AtomicUpload(
                sequences: min(first, last)...last, source: try columns.next(Int32.self),
                device: try columns.next(String?.self))
        }
    }
}
