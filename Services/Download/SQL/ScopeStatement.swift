import Model
import Postgres

extension DownloadStatements {
    /// The state of a user's log, with the floor at which the device began to read at 0, if that
    /// was lately (Upload's `NoteHydration`).
    ///
    /// Answers a row for each of the user's devices, whose names tell where changes came from, and
    /// one row where there are none.
    struct ReadScope: TypedStatement {
        static let statement = Statement(
            name: "download_scope",
            sql: """
                SELECT m.epoch::text, coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0),
                    h.floor_seq, d.source_no, d.device,
                    coalesce(d.device = $2 AND d.revoked_at IS NOT NULL, false)
                FROM sync.meta m
                LEFT JOIN sync.scope s ON s.user_id = $1
                LEFT JOIN sync.hydration h ON h.scope_id = s.scope_id AND h.device = $2
                    AND h.started_at > now() - interval '1 day'
                LEFT JOIN sync.source d ON d.scope_id = s.scope_id
                """,
            parameters: [.text, .text])

        let user: UserID
        let device: DeviceID

        struct Row {
            let reading: ScopeReading
            /// One of the user's devices; nil where there are none.
            let source: (number: Int32, device: String)?
            /// The row's device is the one that asks, and is revoked.
            let isRevoked: Bool
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(device.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let state = ScopeState(
                epoch: try columns.next(String.self), head: try columns.next(Int64.self),
                floor: try columns.next(Int64.self))
            let hydratedFrom = try columns.next(Int64?.self)
            let number = try columns.next(Int32?.self)
            let device = try columns.next(String?.self)
            return Row(
                reading: ScopeReading(state: state, hydratedFrom: hydratedFrom),
                source: number.map { ($0, device ?? "") },
                isRevoked: try columns.next(Bool.self))
        }
    }
}
