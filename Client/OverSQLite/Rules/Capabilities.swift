/// What a server can do beyond what every server does: its answer to `/sync/capabilities`.
struct Capabilities: Hashable, Sendable, Decodable {
    /// A feature this library uses where it is offered.
    enum Feature: String {
        case gzip, watch
    }

    struct Limits: Hashable, Sendable {
        var changesPerUpload: Int?
        /// Bytes of one request body, before compression.
        var bytesPerBody: Int?
    }

    var features: [String]
    var limits: Limits?

    /// Of a server that says nothing of itself.
    static let none = Capabilities(features: [], limits: nil)

    func offers(_ feature: Feature) -> Bool { features.contains(feature.rawValue) }
}

extension Capabilities.Limits: Decodable {
    enum CodingKeys: String, CodingKey {
        case changesPerUpload = "changes_per_upload"
        case bytesPerBody = "bytes_per_body"
    }
}
