import DevStack
import Foundation
import NIOHTTP1
import OperatorKit
import Postgres
import Testing

@Suite("The wire, through every process", .serialized, .timeLimit(.minutes(5)))
struct WireTests {
    private static let user = "550e8400-e29b-41d4-a716-446655440000"
    private static let post = "550e8400-e29b-41d4-a716-446655440001"

    private static func author(_ id: Int, key: String = user, base: Int = 0, name: String = "John")
        -> String
    {
        #"{"source_change_id":\#(id),"schema":"business","table":"users","op":"INSERT","pk":"\#(key)","server_version":\#(base),"payload":{"id":"\#(key)","name":"\#(name)"}}"#
    }

    private static func article(
        _ id: Int, key: String = post, author: String = user, title: String = #""Hi""#
    ) -> String {
        #"{"source_change_id":\#(id),"schema":"business","table":"posts","op":"INSERT","pk":"\#(key)","server_version":0,"payload":{"id":"\#(key)","author_id":"\#(author)","title":\#(title)}}"#
    }

    @Test("Uploads, downloads and every documented refusal")
    func wire() async throws {
        try await withStack { stack in
            try await stack.withClient { client in
                let phone = try await WireDevice(stack, client, user: "alice", device: "phone")
                let laptop = try await WireDevice(stack, client, user: "alice", device: "laptop")
                let stranger = try await WireDevice(stack, client, user: "bob", device: "tablet")

                // The child stands before its parent: the batch is put in order.
                let first = try await phone.upload(Self.article(2) + "," + Self.author(1))
                #expect(try first.value("statuses", 0, "status") == "applied")
                #expect(try first.value("statuses", 1, "new_server_version") == "1")
                #expect(try first.value("highest_server_seq") == "2")

                // V2: the same again is applied with its version, and adds nothing.
                let again = try await phone.upload(Self.author(1))
                #expect(try again.value("statuses", 0, "new_server_version") == "1")
                #expect(try again.value("highest_server_seq") == "2")

                let page = try await laptop.download("after=0&limit=1&schema=business")
                #expect(try page.value("changes", 0, "table") == "users")
                #expect(try page.value("has_more") == "1")
                let rest = try await laptop.download("after=1&until=99")
                #expect(try rest.value("next_after") == "2")
                #expect(try rest.value("window_until") == "2")
                // V5: own changes are left out, but where PostgreSQL has stored more than was
                // sent: then they come as nobody's. The cursor passes over all.
                let own = try await phone.download("after=0")
                #expect(own.text.contains(#""source_id":"""#) && !own.text.contains("phone"))
                #expect(try own.value("next_after") == "2")

                try await Self.standing(phone, laptop, stranger)
                try await Self.refusals(phone, laptop, stranger)
                try await Self.isolation(stranger, stack)
            }
        }
    }

    private static func standing(
        _ phone: WireDevice, _ laptop: WireDevice, _ stranger: WireDevice
    ) async throws {
        let known = try await phone.send(.GET, "/sync/bootstrap")
        #expect(try known.value("known_source") == "1")
        #expect(try known.value("next_change_id") == "3")
        #expect(try known.value("highest_server_seq") == "2")
        #expect(try known.value("floor") == "0")
        let epoch = try known.value("epoch")
        #expect(epoch.count == 36)
        let fresh = try await laptop.send(.GET, "/sync/bootstrap")
        #expect(try fresh.value("known_source") == "0")
        #expect(try fresh.value("next_change_id") == "1")
        #expect(try fresh.value("highest_server_seq") == "2")
        let none = try await stranger.send(.GET, "/sync/bootstrap")
        #expect(try none.value("highest_server_seq") == "0")
        #expect(try none.value("epoch") == epoch)
        let can = try await phone.send(.GET, "/sync/capabilities")
        #expect(try can.value("limits", "changes_per_upload") == "1000")
        #expect(try can.value("limits", "rows_per_page") == "1000")
        #expect(
            can.text.contains(
                #"{"schema":"business","table":"currencies","key_kind":"text","read":true,"write":true,"#
                    + #""columns":[{"name":"code","type":"text","kind":"text"},"#
            ))
        #expect(!can.text.contains("owner_id"))
        #expect(try await phone.send(.GET, "/sync/capabilities", token: "x").status == 401)
    }

    private static func refusals(_ phone: WireDevice, _ laptop: WireDevice, _ stranger: WireDevice)
        async throws
    {
        let stale = try await laptop.upload(author(1, base: 0, name: "Other"))
        #expect(try stale.value("statuses", 0, "status") == "conflict")
        #expect(try stale.value("statuses", 0, "server_row", "source_id") == "phone")
        #expect(try stale.value("statuses", 0, "server_row", "payload", "name") == "John")

        let missing = "550e8400-e29b-41d4-a716-4466554400ff"
        let orphan = try await phone.upload(
            article(5, key: "550e8400-e29b-41d4-a716-446655440005", author: missing))
        #expect(try orphan.value("statuses", 0, "invalid", "reason") == "fk_missing")
        #expect(
            try orphan.value("statuses", 0, "invalid", "details", "missing", 0)
                == "business.users:\(missing)")

        let unknown = try await phone.upload(
            #"{"source_change_id":6,"schema":"business","table":"nope","op":"INSERT","pk":"\#(user)","payload":{}}"#
        )
        #expect(try unknown.value("accepted") == "0")
        #expect(try unknown.value("statuses", 0, "invalid", "reason") == "unregistered_table")

        // P5, V6: a row that the business table refuses stands alone among good ones.
        let keys = (0..<20).map { "650e8400-e29b-41d4-a716-4466554401\($0 < 10 ? "0" : "")\($0)" }
        let mixed = keys.enumerated().map { index, key in
            article(100 + index, key: key, title: index == 7 ? "null" : #""Title \#(index)""#)
        }.joined(separator: ",")
        let answer = try await phone.upload(mixed)
        for index in keys.indices {
            #expect(
                try answer.value("statuses", index, "status")
                    == (index == 7 ? "materialize_error" : "applied"))
        }
        #expect(try answer.value("statuses", 7, "message").contains("23502"))

        #expect(try await phone.send(.POST, "/sync/upload", body: "{bad").status == 400)
        let badToken = try await phone.send(.GET, "/sync/download", token: "a.b.c")
        #expect(badToken.status == 401)
        #expect(badToken.headers["www-authenticate"] == "Bearer")
        #expect(try badToken.value("error") == "authentication_failed")
        #expect(
            try await phone.download("limit=0").text.contains("limit must be between 1 and 1000"))
        #expect(try await phone.send(.GET, "/sync/upload").status == 405)
        #expect(try await phone.send(.GET, "/nowhere").status == 404)
        let large = try await phone.send(
            .POST, "/sync/upload", body: String(repeating: " ", count: (16 << 20) + 1))
        #expect(large.status == 413)
    }

    /// P6: another user sees nothing and cannot take a row over.
    private static func isolation(_ stranger: WireDevice, _ stack: StackAddress) async throws {
        #expect(
            try await stranger.download("after=0&include_self=true").text.contains(#""changes":[]"#)
        )
        let taken = try await stranger.upload(author(1, name: "Mine"))
        #expect(try taken.value("statuses", 0, "invalid", "reason") == "key_taken")
        let probe = try await stranger.upload(
            article(2, key: "750e8400-e29b-41d4-a716-446655440001"))
        #expect(try probe.value("statuses", 0, "invalid", "reason") == "fk_missing")
        let name = try await withConnection(to: stack.database) { connection in
            let statement = Statement(
                name: "name", sql: "SELECT name FROM business.users WHERE id = '\(user)'")
            return try await connection.run(Command(statement)).string(0, 0)
        }
        #expect(name == "John")
    }
}
