import Foundation
import OverSQLite

/// What a device and a server tell each other of the tables that the user may read
/// (`Oversync-Tables`).
enum Rights {
    /// Of `ConformanceTables`: the first 16 digits of the SHA-256 of their names, a line each.
    private static let all = "2ab0d13b6d96e1af"

    static let behaviours = [
        Behaviour("Who asks is told the fingerprint of the tables; others get what they always got")
        {
            talk in
            var phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            let paths = ["sync/download?after=0", "sync/bootstrap", "sync/capabilities"]
            for path in paths { try await expect(nil, phone, path, talk) }
            let before = try await phone.response("GET", "sync/capabilities").body
            for tables in ["unknown", all, "0123456789abcdef"] {
                phone.tables = tables
                for path in paths { try await expect(all, phone, path, talk) }
                // One that takes other tables for readable is not held.
                guard tables != all else { continue }
                let path = "sync/download?after=1&wait=30"
                try await expect(all, phone, path, talk)
                try await phone.get(path, gives: .page(next: 1, until: 1))
            }
            let names = #"["business.currencies","business.posts","business.users"]"#
            let told = String(
                decoding: try await phone.response("GET", "sync/capabilities").body, as: UTF8.self)
            if !told.contains(#""readable":\#(names)"#) { talk.note("no names: \(told)") }
            let asked = try await phone.response(
                "GET", "sync/capabilities?schema=business&tables=users,nothing,posts")
            let absent = String(decoding: asked.body, as: UTF8.self)
            if !absent.contains(#""unregistered":["nothing"]"#) { talk.note("said \(absent)") }
            if String(decoding: before, as: UTF8.self).contains("readable") {
                talk.note("names without being asked")
            }
        },
        Behaviour("A page has the tables that it is asked of, and the cursor passes the others") {
            talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2),
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            for tables in ["posts", "posts,currencies"] {
                try await phone.get(
                    "sync/download?after=0&include_self=true&tables=\(tables)",
                    gives: .page(next: 2, until: 2))
            }
            let users = try await phone.response(
                "GET", "sync/download?after=0&include_self=true&tables=posts,users")
            let whole = try await phone.response(
                "GET", "sync/download?after=0&include_self=true")
            if users.body != whole.body { talk.note("not all of the table's rows") }
            for tables in ["Users", "users,", "a.b", String(repeating: "a,", count: 100) + "a"] {
                try await phone.get(
                    "sync/download?after=0&tables=\(tables)",
                    gives: .invalid("tables must be at most 100 names with commas between"))
            }
        },
        Behaviour("A malformed fingerprint is refused") { talk in
            var phone = try await talk.device("phone")
            let refused = Expected.invalid(
                "Oversync-Tables must be 16 hexadecimal digits, as an answer gave it, or unknown")
            for tables in ["x", "0123456789ABCDEF", "0123456789abcdef0"] {
                phone.tables = tables
                for path in ["download?after=0", "bootstrap", "capabilities"] {
                    try await phone.get("sync/" + path, gives: refused)
                }
            }
        },
    ]

    private static func expect(
        _ wanted: String?, _ peer: WirePeer, _ path: String, _ talk: Conversation,
        line: UInt = #line
    ) async throws {
        let found = try await peer.response("GET", path).headers["oversync-tables"]
        if found != wanted {
            talk.note("line \(line), \(path): \(found ?? "nothing"), not \(wanted ?? "nothing")")
        }
    }
}
