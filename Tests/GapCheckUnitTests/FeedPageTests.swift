import GapCheck
import NIOCore
import Testing

@Suite("Pages and watches, read")
struct FeedPageTests {
    private static let key = "00070001-0000-0003-0000-000000000009"

    private static func page(
        _ sequences: [Int64], hasMore: Bool = false, next: Int64, until: Int64
    ) throws -> FeedPage {
        let changes = sequences.map { sequence in
            #"{"server_id":\#(sequence),"schema":"gap","table":"items","op":"INSERT","pk":"\#(key)","#
                + #""payload":{"id":"\#(key)","n":5,"label":"x"},"server_version":2,"deleted":false,"#
                + #""source_id":"phone","source_change_id":4,"ts":"2026-01-31T12:00:00Z"}"#
        }
        return try FeedPage(
            ByteBuffer(
                string: #"{"changes":[\#(changes.joined(separator: ","))],"has_more":\#(hasMore),"#
                    + #""next_after":\#(next),"window_until":\#(until)}"# + "\n"))
    }

    @Test func `a page is read as it stands`() throws {
        let page = try Self.page([8], hasMore: true, next: 8, until: 9)
        #expect(
            page.changes == [
                FeedChange(
                    sequence: 8, row: GapRow(.items, owner: 7, writer: 1, number: 3, low: 9),
                    version: 2,
                    content: RowContent(n: "5".utf8, label: "x".utf8, item: "".utf8),
                    source: "phone", changeID: 4)
            ])
        #expect(page.hasMore && page.nextAfter == 8 && page.windowUntil == 9)
        #expect(page.flaw(after: 7, limit: 1) == nil)
    }

    @Test func `a page that was cut off, or has a row of another table, cannot be read`() {
        for text in [
            #"{"changes":[],"has_more":false,"next_"#,
            #"{"changes":[{"server_id":1,"table":"users","pk":"\#(Self.key)","deleted":true}]}"#,
            #"{"changes":[{"server_id":1,"table":"items","pk":"\#(Self.key)","deleted":false}]}"#,
        ] {
            #expect(throws: (any Error).self) { try FeedPage(ByteBuffer(string: text)) }
        }
    }

    @Test func `a page that breaks its rules is told`() throws {
        let right = try Self.page([4, 5], next: 5, until: 5)
        #expect(right.flaw(after: 3, limit: 2) == nil)
        #expect(right.flaw(after: 3, limit: 1) == "2 rows came where 1 were asked for")
        #expect(right.flaw(after: 4, limit: 2) == "it begins at 4")
        #expect(
            try Self.page([], next: 2, until: 2).flaw(after: 3, limit: 1)
                == "next_after goes back to 2")
        #expect(
            try Self.page([4, 5], next: 4, until: 4).flaw(after: 3, limit: 2)
                == "next_after is 4, before its last change 5")
        #expect(
            try Self.page([], next: 3, until: 5).flaw(after: 3, limit: 1)
                == "nothing more is there, and next_after 3 is not window_until 5")
        #expect(
            try Self.page([], hasMore: true, next: 3, until: 5).flaw(after: 3, limit: 1)
                == "there is more, and next_after stays")
    }

    @Test func `heads are found in a stream of events however it is cut`() {
        let text =
            "retry: 1000\n\nid: 5\nevent: change\ndata: {\"highest_server_seq\":5}\n\n: alive\n\n"
            + "id: 17\nevent: change\ndata: {\"highest_server_seq\":17}\n\n"
        for size in [1, 7, 30, text.utf8.count] {
            var events = WatchEvents()
            var rest = ByteBuffer(string: text)
            var heads: [Int64] = []
            while rest.readableBytes > 0 {
                let piece = rest.readSlice(length: min(size, rest.readableBytes))
                heads += piece.map { events.take($0) } ?? []
            }
            #expect(heads == [5, 17])
        }
    }
}
