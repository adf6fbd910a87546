import Model

/// The gap checker's tables on the server.
package enum GapTables {
    package static let businessSchema = String(decoding: PackageResources.gap_sql, as: UTF8.self)
    package static let registrations = String(
        decoding: PackageResources.oversync_yaml, as: UTF8.self)
    /// Their PostgreSQL schema.
    static let schema = "gap"
}

/// One of the tables.
package enum GapTable: UInt8, Hashable, Sendable {
    case items, parts

    package init?(name: String) {
        switch name {
        case "items": self = .items
        case "parts": self = .parts
        default: return nil
        }
    }

    var keyKind: KeyKind { self == .items ? .uuid : .integer }
    package var name: String { self == .items ? "items" : "parts" }
}
