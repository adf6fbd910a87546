import Model
import Postgres
import Sidecar

/// The statements that lock or read a user's scope and the number of a device.
extension UploadStatements {
    /// The last sequence after the writes: beyond the upload's own where they caused others.
    struct ReadHead: TypedStatement {
        static let statement = Statement(
            name: "upload_read_head",
            sql: "SELECT s.last_seq FROM sync.scope s WHERE \(NamedScope.condition("s"))",
            parameters: [.int8, .text])

        let scope: NamedScope

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
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
    ///
    /// Answers the scope's last sequence; no row if the scope is not the user's. Once it has
    /// answered one, the scope stays the user's until the transaction ends: whoever deletes the row
    /// or gives it to another user waits for this lock.
    struct LockScope: TypedStatement {
        static let statement = Statement(
            name: "upload_lock_scope",
            sql: """
                SELECT s.last_seq FROM sync.scope s WHERE \(NamedScope.condition("s"))
                FOR NO KEY UPDATE
                """,
            parameters: [.int8, .text])

        let scope: NamedScope

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Sequence64 {
            try columns.next(Int64.self)
        }
    }

    /// The number of a device; no row for one that never uploaded.
    struct ReadSource: TypedStatement {
        static let statement = Statement(
            name: "upload_read_source",
            sql: """
                SELECT d.source_no, d.revoked_at IS NOT NULL FROM sync.source d
                WHERE d.scope_id = $1 AND d.device = $3 AND \(NamedScope.isUsers)
                """,
            parameters: [.int8, .text, .text])

        let scope: NamedScope
        let device: DeviceID

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(device.value)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (source: Int32, isRevoked: Bool) {
            (try columns.next(Int32.self), try columns.next(Bool.self))
        }
    }

    /// Gives a device its number. Runs under the scope's lock, so two devices never get the same
    /// one. The highest number is found by one probe of the index, whatever the user's number of
    /// devices: `max(source_no)` would leave the planner the choice to read them all.
    struct CreateSource: TypedStatement {
        static let statement = Statement(
            name: "upload_create_source",
            sql: """
                INSERT INTO sync.source (scope_id, source_no, device)
                SELECT $1, 1 + coalesce((
                    SELECT d.source_no FROM sync.source d WHERE d.scope_id = $1
                    ORDER BY d.scope_id DESC, d.source_no DESC LIMIT 1), 0), $3
                WHERE \(NamedScope.isUsers)
                RETURNING source_no
                """,
            parameters: [.int8, .text, .text])

        let scope: NamedScope
        let device: DeviceID

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(device.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int32 {
            try columns.next(Int32.self)
        }
    }
}
