import Model
import Postgres

/// The statements that read or make a user's scope and the number of a device.
extension UploadStatements {
    /// The last sequence after the writes: beyond the upload's own where they caused others.
    struct ReadHead: TypedStatement {
        static let statement = Statement(
            name: "upload_read_head", sql: "SELECT last_seq FROM sync.scope WHERE scope_id = $1",
            parameters: [.int8])

        let scope: Int64

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Sequence64 {
            try columns.next(Int64.self)
        }
    }

    /// The identity of the database's history.
    struct ReadEpoch: TypedStatement {
        static let statement = Statement(
            name: "upload_read_epoch", sql: "SELECT epoch::text FROM sync.meta")

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
            try columns.next(String.self)
        }
    }

    /// Locks the user's scope, so that uploads of one user follow each other (decision D1). The
    /// statements after it see all that was committed before the lock was granted.
    struct LockScope: TypedStatement {
        static let statement = Statement(
            name: "upload_lock_scope",
            sql: """
                SELECT scope_id, last_seq FROM sync.scope WHERE user_id = $1 FOR NO KEY UPDATE
                """,
            parameters: [.text])

        let user: UserID

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (scope: Int64, lastSequence: Sequence64) {
            (try columns.next(Int64.self), try columns.next(Int64.self))
        }
    }

    /// The number of a device; no row for one that never uploaded.
    struct ReadSource: TypedStatement {
        static let statement = Statement(
            name: "upload_read_source",
            sql: """
                SELECT d.source_no, d.revoked_at IS NOT NULL FROM sync.source d
                WHERE d.scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = $1)
                    AND d.device = $2
                """,
            parameters: [.text, .text])

        let user: UserID
        let device: DeviceID

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(device.value)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (source: Int32, isRevoked: Bool) {
            (try columns.next(Int32.self), try columns.next(Bool.self))
        }
    }

    /// Gives a device its number. Runs under the scope's lock, so two devices never get the same
    /// one.
    struct CreateSource: TypedStatement {
        static let statement = Statement(
            name: "upload_create_source",
            sql: """
                INSERT INTO sync.source (scope_id, source_no, device)
                SELECT $1, coalesce(max(source_no), 0) + 1, $2
                FROM sync.source WHERE scope_id = $1
                RETURNING source_no
                """,
            parameters: [.int8, .text])

        let scope: Int64
        let device: DeviceID

        func bind(to bindings: inout Bindings) {
            bindings.bind(scope)
            bindings.bind(device.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int32 {
            try columns.next(Int32.self)
        }
    }
}
