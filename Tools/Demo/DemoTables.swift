import OverSQLite

/// The demonstration's tables on both sides.
package enum DemoTables {
    package static let businessSchema = String(
        decoding: PackageResources.business_sql, as: UTF8.self)
    package static let registrations = String(
        decoding: PackageResources.oversync_yaml, as: UTF8.self)
    static let deviceSchema = String(decoding: PackageResources.device_sql, as: UTF8.self)

    /// The PostgreSQL schema that the devices' tables sync with.
    static let schema = "business"

    static let synced = [
        SyncTable("countries"), SyncTable("subdivisions"), SyncTable("languages"),
        SyncTable("currencies", keyKind: .text),
    ]

    /// One table as both sides must have it: its columns, the key first.
    struct Compared: Sendable {
        let name: String
        let columns: [String]
    }

    static let compared = [
        Compared(
            name: "countries",
            columns: ["id", "alpha_2", "alpha_3", "digits", "name", "official_name", "note"]),
        Compared(
            name: "subdivisions",
            columns: ["id", "code", "name", "kind", "country_id", "parent_id", "note"]),
        Compared(name: "languages", columns: ["id", "alpha_3", "name", "scope", "kind", "note"]),
        Compared(name: "currencies", columns: ["code", "name", "digits", "note"]),
    ]
}
