import OverSQLite

/// The app's tables on both sides.
package enum NotesTables {
    package static let businessSchema = String(
        decoding: PackageResources.business_sql, as: UTF8.self)
    package static let registrations = String(
        decoding: PackageResources.oversync_yaml, as: UTF8.self)
    static let deviceSchema = String(decoding: PackageResources.device_sql, as: UTF8.self)

    /// The PostgreSQL schema that the device's tables sync with.
    static let schema = "business"

    static let synced = [SyncTable("notes"), SyncTable("tasks")]
}
