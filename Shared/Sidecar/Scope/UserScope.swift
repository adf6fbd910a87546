import Postgres

/// The scope of a user who is known by name alone, as where a device is bound or revoked. Uploads
/// find it by its number (``NamedScope``).
package enum UserScope {
    /// Makes it for a new user; leaves one that is there alone.
    package static let create = Statement(
        name: "scope_create",
        sql: "INSERT INTO sync.scope (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING",
        parameters: [.text])

    /// Locks it as uploads do. Numbers of devices are given out under this lock.
    package static let lock = Statement(
        name: "scope_lock",
        sql: "SELECT FROM sync.scope s WHERE s.user_id = $1 FOR NO KEY UPDATE",
        parameters: [.text])
}
