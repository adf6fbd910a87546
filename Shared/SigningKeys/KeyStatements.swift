import Postgres
import Sidecar

/// Statements about the keys that sign tokens. Times are the database's.
package enum KeyStatements {
    package static let begin = Statement(name: "auth_begin", sql: "BEGIN")
    package static let commit = Statement(name: "auth_commit", sql: "COMMIT")

    /// One process at a time changes keys.
    package static let lockKeys = Statement(
        name: "auth_lock_keys",
        sql: "LOCK TABLE oversync_auth.signing_key IN SHARE ROW EXCLUSIVE MODE")

    /// All keys, those that began first before others. Not by the time at which a transaction
    /// began, which may have waited for the lock.
    package struct ReadKeys: TypedStatement {
        package static let statement = Statement(
            name: "auth_read_keys",
            sql: """
                SELECT kid, sealed_private_key, active_from <= clock.time,
                    retires_at IS NOT NULL, coalesce(retires_at <= clock.time, false),
                    extract(epoch FROM clock.time - active_from)::float8,
                    to_char(active_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                    to_char(retires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                FROM oversync_auth.signing_key, (SELECT statement_timestamp() AS time) AS clock
                WHERE $1 OR retires_at IS NULL OR retires_at > clock.time
                ORDER BY active_from, kid
                """,
            parameters: [.bool])

        package struct Row: Sendable {
            package let kid: String
            package let sealedKey: [UInt8]
            package let times: KeyTimes
            /// Seconds since it began to sign; negative before that.
            package let age: Double
            /// In UTC.
            package let activeFrom: String
            package let retiresAt: String?
        }

        /// Also those that are no longer published.
        package let withRetired: Bool

        package init(withRetired: Bool = false) {
            self.withRetired = withRetired
        }

        package func bind(to bindings: inout Bindings) {
            bindings.bind(withRetired)
        }

        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                kid: try columns.next(String.self), sealedKey: try columns.next([UInt8].self),
                times: KeyTimes(
                    isActive: try columns.next(Bool.self), retires: try columns.next(Bool.self),
                    isRetired: try columns.next(Bool.self)),
                age: try columns.next(Double.self), activeFrom: try columns.next(String.self),
                retiresAt: try columns.next(String?.self))
        }
    }

    /// Adds a key that signs some time from now.
    package struct InsertKey: TypedStatement {
        package static let statement = Statement(
            name: "auth_insert_key",
            sql: """
                INSERT INTO oversync_auth.signing_key
                    (kid, algorithm, public_key, sealed_private_key, active_from)
                VALUES ($1, 'ES256', $2, $3, clock_timestamp() + make_interval(secs => $4))
                """,
            parameters: [.text, .bytea, .bytea, .float8])

        package let kid: String
        /// In the X9.63 form.
        package let publicKey: [UInt8]
        package let sealedKey: [UInt8]
        /// Seconds until it signs.
        package let lead: Double

        package init(kid: String, publicKey: [UInt8], sealedKey: [UInt8], lead: Double = 0) {
            self.kid = kid
            self.publicKey = publicKey
            self.sealedKey = sealedKey
            self.lead = lead
        }

        package func bind(to bindings: inout Bindings) {
            bindings.bind(kid)
            bindings.bind(bytes: publicKey)
            bindings.bind(bytes: sealedKey)
            bindings.bind(lead)
        }
    }

    /// Has keys retire some time from now, or earlier if they do so already.
    package struct RetireKeys: TypedStatement {
        package static let statement = Statement(
            name: "auth_retire_keys",
            sql: """
                UPDATE oversync_auth.signing_key
                SET retires_at = least(retires_at, clock_timestamp() + make_interval(secs => $2))
                WHERE kid = ANY ($1)
                """,
            parameters: [.textArray, .float8])

        package let kids: [String]
        /// Seconds.
        package let after: Double

        package init(_ kids: [String], after: Double) {
            self.kids = kids
            self.after = after
        }

        package func bind(to bindings: inout Bindings) {
            var array = ArrayBinding(of: .text)
            for kid in kids { array.append(kid) }
            bindings.bind(array)
            bindings.bind(after)
        }
    }

    /// Replaces the seal of a key.
    package struct ResealKey: TypedStatement {
        package static let statement = Statement(
            name: "auth_reseal_key",
            sql: "UPDATE oversync_auth.signing_key SET sealed_private_key = $2 WHERE kid = $1",
            parameters: [.text, .bytea])

        package let kid: String
        package let sealedKey: [UInt8]

        package init(kid: String, sealedKey: [UInt8]) {
            self.kid = kid
            self.sealedKey = sealedKey
        }

        package func bind(to bindings: inout Bindings) {
            bindings.bind(kid)
            bindings.bind(bytes: sealedKey)
        }
    }

    package static let all = [
        begin, commit, lockKeys, ReadKeys.statement, InsertKey.statement, RetireKeys.statement,
        ResealKey.statement,
    ]
}
