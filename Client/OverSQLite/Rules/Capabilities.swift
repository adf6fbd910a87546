/// The server's answer to `/sync/capabilities`: what it offers beyond what every server can do.
struct Capabilities: Hashable, Sendable, Decodable {
    /// Features that this library uses if the server offers them.
    enum Feature: String {
        case digest, gzip, keys, watch
    }

    struct Limits: Hashable, Sendable {
        var changesPerUpload: Int?
        /// The maximum size of a request body, in bytes before compression.
        var bytesPerBody: Int?
    }

    /// A table that the user may read or write.
    struct Table: Hashable, Sendable, Decodable {
        var schema: String
        var table: String
        var read: Bool?
        /// The columns that devices see; nil from an older server.
        var columns: [Column]?
        /// Whether the server leases numbers for the table's new rows to this user.
        var leasesKeys = false
    }

    /// A column as the server has it.
    struct Column: Hashable, Sendable, Decodable {
        /// In lower case, as in payloads.
        var name: String
        /// PostgreSQL's type.
        var type: String
        /// What values of the type are, such as `decimal`. A newer server may have further kinds.
        var kind: String
    }

    var features: [String]
    var limits: Limits?
    /// nil if the server does not name its tables.
    var tables: [Table]?
    /// The names with schemas of all tables whose rows the user gets; nil from an older server.
    var readable: [String]?
    /// Of the tables that were asked for, those that the server does not have.
    var unregistered: [String]?
    /// What answers say of these tables. A header of the answer.
    var fingerprint: TablesFingerprint?

    private enum CodingKeys: CodingKey { case features, limits, tables, readable, unregistered }

    /// The capabilities of a server that announces none.
    static let none = Capabilities(features: [], limits: nil, tables: nil)

    func offers(_ feature: Feature) -> Bool { features.contains(feature.rawValue) }
}

extension Capabilities.Limits: Decodable {
    enum CodingKeys: String, CodingKey {
        case changesPerUpload = "changes_per_upload"
        case bytesPerBody = "bytes_per_body"
    }
}

extension Capabilities.Table {
    private enum CodingKeys: String, CodingKey {
        case schema, table, read, columns
        case leasesKeys = "leases_keys"
    }

    init(from decoder: any Decoder) throws {
        let table = try decoder.container(keyedBy: CodingKeys.self)
        schema = try table.decode(String.self, forKey: .schema)
        self.table = try table.decode(String.self, forKey: .table)
        read = try table.decodeIfPresent(Bool.self, forKey: .read)
        // They are for notices alone: in another form they are as if the server named none.
        columns = try? table.decodeIfPresent([Capabilities.Column].self, forKey: .columns)
        leasesKeys = try table.decodeIfPresent(Bool.self, forKey: .leasesKeys) ?? false
    }
}
