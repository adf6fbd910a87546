/// One change of the log. Its payload stays in the page's bytes.
struct RemoteChange {
    /// The place in the log.
    let sequence: Int64
    let table: String
    let key: String
    let version: Int64
    let isDelete: Bool
    /// The payload's range in the page's body; nil for a delete.
    let payload: Range<Int>?
    let sourceID: String
    let changeID: Int64
}

/// A page of the log.
struct DownloadPage {
    /// The cursor with which the page was requested.
    let after: Int64
    let changes: [RemoteChange]
    let hasMore: Bool
    let nextAfter: Int64
    let windowUntil: Int64
    let body: [UInt8]
    /// The change at the end of the window; nil if the server does not tell.
    var history: HistoryPair?
    /// The tables that the page is of; nil if the server does not tell.
    var tables: TablesFingerprint?
}
