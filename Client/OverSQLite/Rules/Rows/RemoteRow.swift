/// A row as the server has it.
struct RemoteRow {
    let version: Int64
    /// The JSON object; nil when the row is deleted there.
    let payload: [UInt8]?
    /// Who wrote this version, where the server says so.
    let sourceID: String?
    let changeID: Int64?

    var known: KnownRow { KnownRow(version: version, isDeleted: payload == nil) }
}
