import Model
import Postgres
import Sidecar

/// The statements that give a device numbers for the rows that it will create. They find the scope
/// by its user: a device asks seldom, for many rows at once.
enum KeyLeaseStatements {
    /// How many numbers the device was given in the last hour, and whether it was revoked.
    struct ReadStanding: TypedStatement {
        static let statement = Statement(
            name: "upload_lease_standing",
            sql: """
                SELECT coalesce((
                        SELECT sum(l.key_count) FROM sync.key_lease l
                        WHERE l.scope_id = s.scope_id AND l.device = $2
                            AND l.leased_at > now() - interval '1 hour'), 0)::int8,
                    EXISTS (
                        SELECT FROM sync.source d
                        WHERE d.scope_id = s.scope_id AND d.device = $2
                            AND d.revoked_at IS NOT NULL)
                FROM sync.scope s WHERE s.user_id = $1
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
        ) throws(PostgresError) -> (leased: Int64, isRevoked: Bool) {
            (try columns.next(Int64.self), try columns.next(Bool.self))
        }
    }

    /// Takes numbers from a table's sequence and records whose they are.
    struct Lease: TypedStatement {
        static let statement = Statement(
            name: "upload_lease_keys",
            sql: """
                SELECT k.first_number, k.number_count, k.increment
                FROM sync.scope s
                CROSS JOIN LATERAL sync.lease_keys(
                    s.scope_id, $2, $3, $4::oid::regclass, $5, $6, $7) AS k
                WHERE s.user_id = $1
                """,
            parameters: [.text, .text, .int2, .int8, .int4, .int8, .int8])

        let user: UserID
        let device: DeviceID
        let table: TableID
        let sequence: UInt32
        let count: Int32
        /// The numbers that the key's column can hold.
        let range: ClosedRange<Int64>

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(device.value)
            bindings.bind(table)
            bindings.bind(Int64(sequence))
            bindings.bind(count)
            bindings.bind(range.lowerBound)
            bindings.bind(range.upperBound)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> KeyRange {
            KeyRange(
                first: try columns.next(Int64.self), count: try columns.next(Int32.self),
                step: try columns.next(Int64.self))
        }
    }

    static let all = [ReadStanding.statement, Lease.statement]
}

/// Numbers that a device was given: `first`, `first + step`, and so on.
struct KeyRange: Hashable, Sendable {
    let first: Int64
    let count: Int32
    let step: Int64
}
