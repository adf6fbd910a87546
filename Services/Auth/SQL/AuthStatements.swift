import Postgres

/// The Auth service's statements.
package enum AuthStatements {
    package static let begin = Statement(name: "auth_begin", sql: "BEGIN")
    package static let commit = Statement(name: "auth_commit", sql: "COMMIT")

    /// One replica at a time makes keys.
    package static let lockKeys = Statement(
        name: "auth_lock_keys",
        sql: "LOCK TABLE oversync_auth.signing_key IN SHARE ROW EXCLUSIVE MODE")

    /// Keys to publish, oldest first.
    struct ReadKeys: TypedStatement {
        static let statement = Statement(
            name: "auth_read_keys",
            sql: """
                SELECT kid, sealed_private_key, extract(epoch FROM active_from)::float8
                FROM oversync_auth.signing_key WHERE retires_at IS NULL OR retires_at > now()
                ORDER BY active_from, kid
                """)

        struct Row {
            let kid: String
            let sealedKey: [UInt8]
            /// In seconds since 1970.
            let activeFrom: Double
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                kid: try columns.next(String.self), sealedKey: try columns.next([UInt8].self),
                activeFrom: try columns.next(Double.self))
        }
    }

    struct InsertKey: TypedStatement {
        static let statement = Statement(
            name: "auth_insert_key",
            sql: """
                INSERT INTO oversync_auth.signing_key
                    (kid, algorithm, public_key, sealed_private_key)
                VALUES ($1, 'ES256', $2, $3)
                """,
            parameters: [.text, .bytea, .bytea])

        let kid: String
        /// In the X9.63 form.
        let publicKey: [UInt8]
        let sealedKey: [UInt8]

        func bind(to bindings: inout Bindings) {
            bindings.bind(kid)
            bindings.bind(bytes: publicKey)
            bindings.bind(bytes: sealedKey)
        }
    }

    package static let all = [
        begin, commit, lockKeys, ReadKeys.statement, InsertKey.statement,
    ]
}
