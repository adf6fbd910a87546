import Model
import NIOCore

/// One page of a user's change log, as bytes for the wire and as numbers for the log.
struct Page: Sendable {
    var body = ByteBuffer()
    var rows = 0
    /// Rows that devices cannot take, which the log has from before capture refused such.
    var leftOut = 0
    var hasMore = false
    var nextAfter: Sequence64
    /// Never beyond the user's last sequence as read with the page.
    var windowUntil: Sequence64
    /// The user's log as it was when the page was made.
    var scope: ScopeState
    /// The change at the end of the window, for callers that take it; nil where its tag is not
    /// known.
    var history: HistoryPair?
    /// The fingerprint of the tables that it is of, for callers that said one.
    var readable: String?
    /// The log lacks the change that the device named, and nothing says why.
    var hasHole = false
    /// When its first row was written; nil where it has none.
    var firstChange: CommitTime?
    /// It was known without the database.
    var isFromMemory = false

    /// Whether it brought the device nothing: there was nothing new.
    var isIdle: Bool { rows == 0 && leftOut == 0 && !hasMore }
}
