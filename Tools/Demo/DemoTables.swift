import OverSQLite

/// The demonstration's tables on both sides.
package enum DemoTables {
    package static let businessSchema = String(
        decoding: PackageResources.business_sql, as: UTF8.self)
    package static let registrations = String(
        decoding: PackageResources.oversync_yaml, as: UTF8.self)

    /// SQL that makes the tables in another schema.
    ///
    /// - Parameter schema: its name, which needs no quotes.
    package static func businessSchema(in schema: String) -> String {
        businessSchema.replacing("\(Self.schema).", with: "\(schema).")
            .replacing("EXISTS \(Self.schema);", with: "EXISTS \(schema);")
    }

    /// Text of `oversync.yaml` with the tables of another schema.
    package static func registrations(in schema: String) -> String {
        registrations.replacing("\(Self.schema).", with: "\(schema).")
    }

    /// How an operator adds the tables to a stack.
    package static func advice(schema: String) -> String {
        let option = schema == Self.schema ? "" : " --schema \(schema)"
        return """
            As the owner of the database, run the SQL that `oversync-dev demo --print-schema\(option)` prints, \
            add the lines of `oversync-dev demo --print-config\(option)` to oversync.yaml, and run oversync migrate
            """
    }

    static let deviceSchema = String(decoding: PackageResources.device_sql, as: UTF8.self)

    /// The PostgreSQL schema that the devices' tables sync with.
    package static let schema = "business"

    static let synced = [
        SyncTable("countries"), SyncTable("subdivisions"), SyncTable("languages"),
        SyncTable("currencies", keyKind: .text),
    ]

    /// The tables that devices write.
    package static var names: [String] { compared.map(\.name) }

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
