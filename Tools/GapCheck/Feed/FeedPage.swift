import NIOCore
import WireJSON

/// One answer to a download.
package struct FeedPage: Hashable, Sendable {
    package var changes: [FeedChange] = []
    package var hasMore = false
    package var nextAfter: Int64 = 0
    package var windowUntil: Int64 = 0

    package init() {}

    package init(_ body: ByteBuffer) throws {
        self = try body.withUnsafeReadableBytes { raw in
            var reader = JSONReader(raw.bindMemory(to: UInt8.self))
            return try Self(&reader)
        }
    }

    private init(_ reader: inout JSONReader) throws(JSONError) {
        var page = FeedPage()
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "changes") {
                try reader.readArray { reader throws(JSONError) in
                    let start = reader.position
                    page.changes.append(try FeedChangeText(&reader).change(at: start))
                }
            } else if reader.key(member, is: "has_more") {
                page.hasMore = try reader.readBool()
            } else if reader.key(member, is: "next_after") {
                page.nextAfter = try reader.readInt64()
            } else if reader.key(member, is: "window_until") {
                page.windowUntil = try reader.readInt64()
            } else {
                _ = try reader.skipValue()
            }
        }
        try reader.expectEnd()
        self = page
    }

    /// What is wrong with the page as the answer to a question.
    package func flaw(after: Int64, limit: Int) -> String? {
        if changes.count > limit {
            return "\(changes.count) rows came where \(limit) were asked for"
        }
        if nextAfter < after { return "next_after goes back to \(nextAfter)" }
        if let last = changes.last, nextAfter < last.sequence {
            return "next_after is \(nextAfter), before its last change \(last.sequence)"
        }
        if let first = changes.first, first.sequence <= after {
            return "it begins at \(first.sequence)"
        }
        if !hasMore, nextAfter != windowUntil {
            return
                "nothing more is there, and next_after \(nextAfter) is not window_until \(windowUntil)"
        }
        if hasMore, nextAfter == after { return "there is more, and next_after stays" }
        return nil
    }
}
