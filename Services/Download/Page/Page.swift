import Model
import NIOCore

/// One page of a user's change log, as bytes for the wire and as numbers for the log.
struct Page: Sendable {
    var body = ByteBuffer()
    var rows = 0
    var hasMore = false
    var nextAfter: Sequence64
    /// Never beyond the user's last sequence as read with the page.
    var windowUntil: Sequence64
    /// The user's last sequence.
    var head: Sequence64

    /// A page without rows.
    static func empty(after: Sequence64, window: Sequence64, head: Sequence64) -> Page {
        var page = Page(nextAfter: max(after, window), windowUntil: window, head: head)
        // A cursor beyond the window stays where it is: it is the caller's, not ours to lower.
        page.body = ByteBuffer(
            string:
                #"{"changes":[],"has_more":false,"next_after":\#(page.nextAfter),"window_until":\#(window)}"#
                + "\n")
        return page
    }
}
