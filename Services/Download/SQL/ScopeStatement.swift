import Model
import Postgres
import Sidecar

extension DownloadStatements {
    /// The state of a user's log, with the floor at which the device began to read at 0, if that
    /// was lately (Upload's `NoteHydration`).
    ///
    /// Answers a row for each of the user's newest devices, up to `names`, since their names tell
    /// where changes came from; and one row where there are none.
    struct ReadScope: TypedStatement {
        // A log that was never compacted has no hydrations, so none is looked for.
        //
        // Whether the asking device is revoked stands in its own row, unless that is left out. If
        // every row's number is from 1 to `$4 - 1`, there are fewer rows than asked for, so none is
        // left out. A row with any other number looks the device up instead.
        static let statement = Statement(
            name: "download_scope",
            sql: """
                SELECT m.epoch::text, s.scope_id IS NOT NULL,
                    coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0),
                    CASE WHEN s.floor_seq > 0 THEN (
                        SELECT h.floor_seq FROM sync.hydration h
                        WHERE h.scope_id = $1 AND h.device = $3
                            AND h.started_at > now() - interval '1 day') END,
                    CASE WHEN s.scope_id IS NULL THEN false
                        WHEN n.source_no BETWEEN 1 AND $4 - 1
                        THEN n.device = $3 AND n.is_revoked
                        ELSE coalesce((
                            SELECT d.revoked_at IS NOT NULL FROM sync.source d
                            WHERE d.scope_id = $1 AND d.device = $3), false) END,
                    n.source_no, n.device, coalesce(s.atomic_seq, 0)
                FROM sync.meta m
                LEFT JOIN (
                    sync.scope s LEFT JOIN LATERAL (
                        SELECT e.source_no, e.device, e.revoked_at IS NOT NULL AS is_revoked
                        FROM sync.source e WHERE e.scope_id = $1
                        ORDER BY e.scope_id DESC, e.source_no DESC LIMIT $4
                    ) AS n ON true
                ) ON \(NamedScope.condition("s"))
                """,
            parameters: [.int8, .text, .text, .int8])

        /// Nil for a user who has none.
        let scope: NamedScope?
        let device: DeviceID
        /// The largest number of devices' names.
        var names = 0

        struct Row {
            /// False if the scope is not the user's any more.
            let isUsers: Bool
            let reading: ScopeReading
            /// True in at least one row if the device that asks is revoked.
            let isRevoked: Bool
            /// One of the user's devices; nil where there are none.
            let source: (number: Int32, device: String)?
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
            bindings.bind(device.value)
            bindings.bind(Int64(names))
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let epoch = try columns.next(String.self)
            let isUsers = try columns.next(Bool.self)
            let state = ScopeState(
                epoch: epoch, head: try columns.next(Int64.self),
                floor: try columns.next(Int64.self))
            let hydratedFrom = try columns.next(Int64?.self)
            let isRevoked = try columns.next(Bool.self)
            let number = try columns.next(Int32?.self)
            let device = try columns.next(String?.self)
            return Row(
                isUsers: isUsers,
                reading: ScopeReading(
                    state: state, hydratedFrom: hydratedFrom,
                    atomicEnd: try columns.next(Int64.self)),
                isRevoked: isRevoked, source: number.map { ($0, device ?? "") })
        }
    }

    /// The names of some of the user's devices: those that ``ReadScope`` left out and a page has
    /// changes of.
    ///
    /// Answers a row for each number; none at all if the scope is not the user's any more.
    struct ReadSourceNames: TypedStatement {
        static let statement = Statement(
            name: "download_source_names",
            sql: """
                SELECT k.number, d.device
                FROM sync.scope s CROSS JOIN unnest($3::int4[]) AS k(number)
                LEFT JOIN LATERAL (
                    SELECT e.device FROM sync.source e
                    WHERE e.scope_id = $1 AND e.source_no = k.number
                    LIMIT 1
                ) AS d ON true
                WHERE \(NamedScope.condition("s"))
                """,
            parameters: [.int8, .text, .int4Array])

        let scope: NamedScope
        let numbers: [Int32]

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            var array = ArrayBinding(of: .int4, reserving: numbers.count)
            for number in numbers { array.append(number) }
            bindings.bind(array)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (number: Int32, device: String?) {
            (try columns.next(Int32.self), try columns.next(String?.self))
        }
    }
}

extension Bindings {
    /// Binds a scope's number and user; NULLs for a user who has no scope.
    mutating func bind(_ scope: NamedScope?) {
        bind(scope?.id)
        bind(scope?.user.value)
    }
}
