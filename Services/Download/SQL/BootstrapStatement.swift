import Model
import Postgres
import Sidecar

extension DownloadStatements {
    /// Where a device stands. Of a user or a device that never uploaded, all but the epoch is 0 or
    /// false.
    struct ReadBootstrap: TypedStatement {
        static let statement = Statement(
            name: "download_bootstrap",
            sql: """
                SELECT m.epoch::text, s.scope_id IS NOT NULL,
                    coalesce(s.last_seq, 0), coalesce(s.floor_seq, 0), d.source_no IS NOT NULL,
                    greatest(d.max_change_id, (SELECT max(l.source_change_id) FROM sync.change_log l
                        WHERE l.scope_id = $1 AND l.source_no = d.source_no
                            AND l.source_change_id <= \(WireNumber.maximum)), 0),
                    d.revoked_at IS NOT NULL
                FROM sync.meta m
                LEFT JOIN (
                    sync.scope s
                    LEFT JOIN sync.source d ON d.scope_id = $1 AND d.device = $3
                ) ON \(NamedScope.condition("s"))
                """,
            parameters: [.int8, .text, .text])

        /// Nil for a user who has none.
        let scope: NamedScope?
        let device: DeviceID

        struct Row {
            /// False if the scope is not the user's any more.
            let isUsers: Bool
            let state: ScopeState
            /// The device has uploaded.
            let isKnown: Bool
            /// The highest change id of the device's; those beyond the bound, which older versions
            /// took, do not count, for no device can go on from there.
            let highestChangeID: ChangeID
            let isRevoked: Bool
        }

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
            bindings.bind(device.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            let epoch = try columns.next(String.self)
            return Row(
                isUsers: try columns.next(Bool.self),
                state: ScopeState(
                    epoch: epoch, head: try columns.next(Int64.self),
                    floor: try columns.next(Int64.self)),
                isKnown: try columns.next(Bool.self),
                highestChangeID: try columns.next(Int64.self),
                isRevoked: try columns.next(Bool.self))
        }
    }
}
