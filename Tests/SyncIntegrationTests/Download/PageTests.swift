import Foundation
import Model
import NIOCore
import Protos
import RPC
import Testing

@testable import DownloadService

@Suite("Pages of the change log")
struct PageTests {
    @Test(
        "V5, S16: the window is frozen, never beyond the end, and the cursor passes over what is left out"
    )
    func windows() async throws {
        try await SyncedDatabase.with { database in
            let none = try await database.page("ann")
            #expect(none == Read(next: 0, until: 0, more: false, keys: []))
            for n in 1...10 {
                let device = n <= 4 ? "phone" : "tablet"
                try await database.upload(
                    "ann", device: device, change(n, "INSERT", "prefs", "k\(n)", "{}"))
            }
            #expect(
                try await database.page("ann", limit: 3)
                    == Read(next: 3, until: 10, more: true, keys: ["k1", "k2", "k3"]))
            #expect(
                try await database.page("ann", after: 3, until: 5)
                    == Read(next: 5, until: 5, more: false, keys: ["k4", "k5"]))
            #expect(
                try await database.page("ann", after: 8, until: 99)
                    == Read(next: 10, until: 10, more: false, keys: ["k9", "k10"]))
            #expect(
                try await database.page("ann", after: 10)
                    == Read(next: 10, until: 10, more: false, keys: []))
            #expect(try await database.page("ann", after: 77).next == 77)
            #expect(
                try await database.page("ann", device: "tablet", own: false)
                    == Read(next: 10, until: 10, more: false, keys: ["k1", "k2", "k3", "k4"]))
            #expect(
                try await database.page("ann", device: "phone", limit: 6, own: false).more == false)
            #expect(
                try await database.page("ann", device: "phone", limit: 5, own: false)
                    == Read(next: 9, until: 10, more: true, keys: ["k5", "k6", "k7", "k8", "k9"]))
            #expect(
                try await database.page("ann", schema: "other")
                    == Read(next: 10, until: 10, more: false, keys: []))
            #expect(try await database.page("ann", schema: "s", limit: 1).keys == ["k1"])
        }
    }

    @Test("S7, S8: hostile text comes back byte for byte in a page that is valid JSON")
    func hostile() async throws {
        try await SyncedDatabase.with { database in
            let texts = [
                #""\u001f\u007f\u2028\u2029</script>""#, #""😀\ud83d\ude00""#, #""\\\"\/""#, "1e400",
                "-0.0",
                "123456789012345678901234567890.00000000000000000000001", #"{"":{"":[]}}"#,
                #""{\"not\":\"json\"}""#,
            ]
            for (n, text) in texts.enumerated() {
                try await database.upload(
                    "ann", change(n + 1, "INSERT", "prefs", "k\(n)", #"{"x":\#(text)}"#))
            }
            let body = try await database.rawPage("ann")
            for text in texts { #expect(body.contains(#""payload":{"x":\#(text)}"#), "\(text)") }
            #expect(
                (try? JSONDecoder().decode(Page.self, from: Data(body.utf8)))?.changes.count
                    == texts.count)
        }
    }

    @Test("Pages of large rows end early, and all rows come, in order and once")
    func largeRows() async throws {
        try await SyncedDatabase.with { database in
            let text = String(repeating: "x", count: 1_000_000)
            let keys = (10..<30).map { "k\($0)" }
            for (n, key) in keys.enumerated() {
                try await database.upload(
                    "ann", change(n + 1, "INSERT", "prefs", key, #"{"value":"\#(text)"}"#))
            }
            var after = 0
            var seen: [String] = []
            for isProtobuf in [false, true] {
                let answer = try await database.pull("ann") { $0.asProtobuf = isProtobuf }
                #expect(answer.message.hasMore_p)
                #expect(answer.body.readableBytes < RPCLimits().maximumFrameBytes)
            }
            while true {
                let page = try await database.page("ann", after: after, limit: 1000)
                seen += page.keys
                after = page.next
                if !page.more { break }
                try #require(!page.keys.isEmpty)
            }
            #expect(seen == keys)
            // A row that is larger than any page should be is a page by itself.
            try await database.execute(
                "INSERT INTO s.prefs VALUES ('bob', 'a', repeat('x', 9000000)), ('bob', 'b', 'y')")
            #expect(
                try await database.page("bob", limit: 1000)
                    == Read(next: 1, until: 2, more: true, keys: ["a"]))
        }
    }

    private struct Page: Decodable {
        struct Change: Decodable { let server_id: Int }
        let changes: [Change]
    }
}

/// A page as numbers.
struct Read: Equatable {
    let next: Int
    let until: Int
    let more: Bool
    let keys: [String]
}

extension SyncedDatabase {
    func page(
        _ user: String, device: String = "reader", after: Int = 0, until: Int = 0,
        schema: String = "", limit: Int = 0,
        own: Bool = true
    ) async throws -> Read {
        var request = PullChangesRequest()
        request.after = Int64(after)
        request.until = Int64(until)
        request.schema = schema
        request.limit = Int32(limit)
        request.includeSelf = own
        let page = try await read(request, user: user, device: device)
        let body =
            try JSONSerialization.jsonObject(with: Data(page.body.readableBytesView))
            as? [String: Any]
        let changes = body?["changes"] as? [[String: Any]] ?? []
        #expect(body?["next_after"] as? Int64 == page.nextAfter)
        #expect(body?["window_until"] as? Int64 == page.windowUntil)
        #expect(body?["has_more"] as? Bool == page.hasMore)
        return Read(
            next: Int(page.nextAfter), until: Int(page.windowUntil), more: page.hasMore,
            keys: changes.map { $0["pk"] as? String ?? "?" })
    }

    func rawPage(_ user: String) async throws -> String {
        var request = PullChangesRequest()
        request.includeSelf = true
        return String(buffer: try await read(request, user: user, device: "reader").body)
    }
}
