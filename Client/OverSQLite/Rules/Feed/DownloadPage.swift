/// One change of the feed. Its payload stays in the page's bytes.
struct RemoteChange {
    let table: String
    let key: String
    let version: Int64
    let isDelete: Bool
    /// Where the payload lies in the page's body; nil for a delete.
    let payload: Range<Int>?
    let sourceID: String
    let changeID: Int64
}

/// A page of the feed.
struct DownloadPage {
    /// The cursor the page was asked for with.
    let after: Int64
    let changes: [RemoteChange]
    let hasMore: Bool
    let nextAfter: Int64
    let windowUntil: Int64
    let body: [UInt8]
}
