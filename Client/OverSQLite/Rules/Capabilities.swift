/// The server's answer to `/sync/capabilities`: what it offers beyond what every server can do.
struct Capabilities: Hashable, Sendable, Decodable {
    /// Features that this library uses if the server offers them.
    enum Feature: String {
        case gzip, watch
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
    }

    var features: [String]
    var limits: Limits?
    /// nil if the server does not name its tables.
    var tables: [Table]?

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
