/// A row as the server has it.
struct RemoteRow {
    let version: Int64
    /// The JSON object; nil if the row is deleted on the server.
    let payload: [UInt8]?
    /// The device that wrote this version; nil if the server does not say.
    let sourceID: String?
    let changeID: Int64?
    /// What the row adds to its table's digest; nil for a deletion, and where the bytes are not
    /// those of a page.
    var term: Int64?

    var known: KnownRow { KnownRow(version: version, isDeleted: payload == nil) }
}
