import Model
import Postgres
import Sidecar

/// The statements that lock or read a user's scope and the number of a device.
extension UploadStatements {
    /// The last sequence after the writes: beyond the upload's own where they caused others.
    struct ReadHead: TypedStatement {
        static let statement = Statement(
            name: "upload_read_head",
            sql: """
                SELECT s.last_seq, CASE WHEN s.tagged_seq = s.last_seq THEN s.last_tag END,
                    \(restoreSettings)
                FROM sync.scope s WHERE \(NamedScope.condition("s"))
                """,
            parameters: [.int8, .text])

        let scope: NamedScope

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> LogHead {
            let sequence = try columns.next(Int64.self)
            let tag = try columns.next(Int64?.self)
            columns.skipRest()
            return LogHead(
                sequence: sequence,
                pair: sequence == 0
                    ? nil
                    : tag.map { HistoryPair(sequence: sequence, tag: UInt64(bitPattern: $0)) })
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
    /// Returns where the scope's log ends; no row if the scope is not the user's. After that the
    /// scope stays the user's until the transaction ends, because deleting the row or giving it to
    /// another user waits for this lock.
    struct LockScope: TypedStatement {
        static let statement = Statement(
            name: "upload_lock_scope",
            sql: "SELECT \(LockedScope.columns) FROM (\(LockedScope.lock)) AS s",
            parameters: [.int8, .text], results: .binary)

        let scope: NamedScope

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> LockedScope {
            try LockedScope(&columns, hasChange: false)
        }
    }

    /// The same for a device that sent a pair, with the change at the pair's sequence unless the
    /// scope knows its tag already.
    ///
    /// The change is read as of the time before the wait for the lock: one that was written
    /// meanwhile is not found.
    struct LockScopeOfPair: TypedStatement {
        static let statement = Statement(
            name: "upload_lock_scope_of_pair",
            sql: """
                SELECT \(LockedScope.columns), \(TaggedChange.columns(of: "l"))
                FROM (\(LockedScope.lock)) AS s
                LEFT JOIN LATERAL (
                    SELECT * FROM sync.change_log e
                    WHERE e.scope_id = $1 AND e.seq = $3
                        AND NOT (s.last_seq = $3 AND s.tagged_seq = $3) LIMIT 1
                ) AS l ON true
                """,
            parameters: [.int8, .text, .int8], results: .binary)

        let scope: NamedScope
        let sequence: Sequence64

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(sequence)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> LockedScope {
            try LockedScope(&columns, hasChange: true)
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

    /// Gives a device its number, unless the user has as many as its quota allows. Runs under the
    /// scope's lock, so two devices never get the same one. The highest number is found by one
    /// probe of the index, whatever the user's number of devices: `max(source_no)` would leave the
    /// planner the choice to read them all.
    struct CreateSource: TypedStatement {
        static let statement = Statement(
            name: "upload_create_source",
            sql: """
                INSERT INTO sync.source (scope_id, source_no, device)
                SELECT $1, 1 + coalesce((
                    SELECT d.source_no FROM sync.source d WHERE d.scope_id = $1
                    ORDER BY d.scope_id DESC, d.source_no DESC LIMIT 1), 0), $3
                WHERE \(NamedScope.isUsers) AND \(hasRoom("$1", quota: "$4"))
                RETURNING source_no
                """,
            parameters: [.int8, .text, .text, .int8])

        /// Whether a scope has fewer devices that may write than a quota, which may be NULL.
        static func hasRoom(_ scope: String, quota: String) -> String {
            """
            (\(quota)::int8 IS NULL OR (
                SELECT count(*) FROM (
                    SELECT FROM sync.source e
                    WHERE e.scope_id = \(scope) AND e.revoked_at IS NULL LIMIT \(quota)) AS few
            ) < \(quota))
            """
        }

        let scope: NamedScope
        let device: DeviceID
        /// How many devices the user may have; nil: any number.
        let quota: Int64?

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(device.value)
            bindings.bind(quota)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int32 {
            try columns.next(Int32.self)
        }
    }
}

/// Where a user's log ends after an upload.
struct LogHead: Hashable, Sendable {
    let sequence: Sequence64
    /// Nil where the scope does not know the tag of its last change.
    let pair: HistoryPair?
}

/// A scope whose lock was granted.
struct LockedScope: Sendable {
    let end: HistoryEnd
    /// When the lock was granted, by the database's clock.
    let time: PostgresTime
    /// The change at the sequence that the device sent; nil where it sent none.
    let found: TaggedChange?

    /// The columns of both statements that lock, of a row `s` of ``lock``. The time is taken from
    /// the row that the lock was granted for.
    static let columns = "\(HistoryEnd.columns(of: "s")), clock_timestamp()"
    static let lock = """
        SELECT * FROM sync.scope s WHERE \(NamedScope.condition("s")) FOR NO KEY UPDATE
        """

    init(_ columns: inout RowColumns, hasChange: Bool) throws(PostgresError) {
        end = try HistoryEnd(&columns)
        time = try columns.next(PostgresTime.self)
        found = hasChange ? try TaggedChange.read(&columns) : nil
    }
}
