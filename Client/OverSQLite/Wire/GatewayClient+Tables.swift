extension TransportRequest {
    /// The name of the header in which both sides tell which tables the user may read.
    fileprivate static let tablesHeader = "Oversync-Tables"

    /// The request with the tables that the device takes for readable, so that the answer says
    /// which ones are.
    func telling(_ tables: TablesFingerprint?) -> TransportRequest {
        var request = self
        request.headers[Self.tablesHeader] = tables?.text ?? TablesFingerprint.unknown
        return request
    }
}

extension TransportResponse {
    /// The tables that the user may read; nil if the server is older and does not say.
    var tables: TablesFingerprint? {
        headers[TransportRequest.tablesHeader.lowercased()].flatMap(TablesFingerprint.init(text:))
    }
}
