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
    package static let readKeys = Statement(
        name: "auth_read_keys",
        sql: """
            SELECT kid, sealed_private_key, extract(epoch FROM active_from)::float8
            FROM oversync_auth.signing_key WHERE retires_at IS NULL OR retires_at > now() ORDER BY active_from, kid
            """)

    package static let insertKey = Statement(
        name: "auth_insert_key",
        sql: """
            INSERT INTO oversync_auth.signing_key (kid, algorithm, public_key, sealed_private_key)
            VALUES ($1, 'ES256', $2, $3)
            """,
        parameters: [.text, .bytea, .bytea])

    package static let all = [begin, commit, lockKeys, readKeys, insertKey]
}
