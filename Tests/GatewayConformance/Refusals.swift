/// Changes that are refused, each by itself.
enum Refusals {
    static let behaviours = [
        Behaviour(
            "A child without its parent is fk_missing; in one upload the parent may stand behind"
        ) { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.post(1, 2, of: 1), gives: .statuses(talk.orphan(1, parent: 1), highest: 0))
            try await phone.upload(
                talk.post(1, 2, of: 1), talk.user(2, 1, base: 3),
                gives: .statuses(
                    talk.orphan(1, parent: 1),
                    talk.invalid(
                        2, "row_missing",
                        "no row business.users pk=\(talk.key(1)) on the server; send it again with server_version 0"
                    ), highest: 0))
            try await phone.upload(
                talk.post(1, 2, of: 1), talk.user(2, 1),
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            // Another user's row is no parent.
            let stranger = try await talk.device("phone", of: "bob")
            try await stranger.upload(
                talk.post(1, 3, of: 1), gives: .statuses(talk.orphan(1, parent: 1), highest: 0))
        },
        Behaviour("S21: a parent with children is not deleted, and the row stays as it was") {
            talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), talk.post(2, 2, of: 1),
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            try await phone.upload(
                talk.delete(3, "users", 1, base: 1), talk.user(4, 5),
                gives: .statuses(
                    talk.materializeError(3, 2, "users", Refused.stillNeeded),
                    talk.applied(4, 1), highest: 3))
            try await phone.upload(
                talk.user(5, 1, base: 1, name: "b"),
                gives: .statuses(talk.applied(5, 2), highest: 4))
        },
        Behaviour("V6: a row that the business table refuses is refused alone") { talk in
            let phone = try await talk.device("phone")
            let refused = talk.materializeError(2, 1, "users", Refused.withoutName)
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2, name: nil), talk.user(3, 3),
                gives: .statuses(talk.applied(1, 1), refused, talk.applied(3, 1), highest: 2))
            try await phone.upload(
                talk.change(2, "users", talk.key(2), payload: "{}"),
                gives: .statuses(refused, highest: 2))
            // An edit that leaves a column out leaves it as it was.
            try await phone.upload(
                talk.change(4, "users", talk.key(1), base: 1, op: "UPDATE", payload: #"{"age":3}"#),
                gives: .statuses(talk.applied(4, 2), highest: 3))
            try await phone.upload(
                talk.user(5, 1, base: 2, op: "UPDATE", name: nil),
                gives: .statuses(
                    talk.materializeError(5, 3, "users", Refused.withoutName), highest: 3))
        },
        Behaviour("V10: a table that is not registered is refused, and the others are applied") {
            talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.change(1, "nope", "x", payload: "{}"), talk.user(2, 1),
                gives: .statuses(
                    talk.unregistered(1, "business", "nope"), talk.applied(2, 1), accepted: false,
                    highest: 1))
            try await phone.upload(
                #"{"source_change_id":3,"table":"users","op":"INSERT","pk":"x","payload":{}}"#,
                gives: .statuses(
                    talk.unregistered(3, "public", "users"), accepted: false, highest: 1))
        },
        Behaviour("What is wrong with a change is told, the first fault first") { talk in
            let phone = try await talk.device("phone")
            let pk = talk.key(1)
            let faults: [(change: String, message: String)] = [
                (
                    #"{"source_change_id":1,"schema":"b-b","table":"t!","op":"x","pk":"x"}"#,
                    #"bad_payload: invalid schema name \"b-b\""#
                ),
                (
                    talk.change(1, "t!", "x", op: "x", payload: "{}"),
                    #"bad_payload: invalid table name \"t!\""#
                ),
                (
                    talk.change(1, "users", "x", op: "UPSERT", payload: "{}"),
                    "invalid operation: UPSERT"
                ),
                (
                    talk.change(1, "users", "x", payload: "{}"),
                    "bad_payload: invalid UUID format: x"
                ),
                (
                    talk.change(1, "users", pk, payload: nil),
                    "payload required for INSERT operation"
                ),
                (
                    talk.change(1, "users", pk, payload: "null"),
                    "invalid JSON payload: it must be an object"
                ),
                (
                    talk.change(1, "users", pk, payload: "[1]"),
                    "invalid JSON payload: it must be an object"
                ),
                (
                    talk.change(1, "users", pk, op: "DELETE", payload: "null"),
                    "DELETE must not include payload"
                ),
                (
                    talk.change(1, "users", pk, payload: #"{"name":"\u0000"}"#),
                    #"invalid JSON payload: it contains the character \\u0000, which PostgreSQL cannot store"#
                ),
                (
                    talk.change(1, "users", pk, payload: #"{"name":"\ud800"}"#),
                    #"invalid JSON payload: it contains half of a \\u surrogate pair"#
                ),
                (
                    talk.change(1, "users", pk, payload: #"{"name":"a","name":"b"}"#),
                    "invalid JSON payload: it contains an object with the same key twice"
                ),
                (
                    talk.change(
                        1, "users", pk,
                        payload: #"{"name":"# + String(repeating: "[", count: 80)
                            + String(repeating: "]", count: 80) + "}"),
                    "invalid JSON payload: it is nested more than 64 levels deep"
                ),
                (
                    talk.change(
                        1, "posts", pk, payload: #"{"user_id":"no uuid"}"#),
                    "bad payload for business.posts pk=\(pk): user_id is no value of type uuid"
                ),
            ]
            for (change, message) in faults {
                try await phone.upload(
                    change, gives: .statuses(talk.badPayload(1, message), highest: 0))
            }
        },
        Behaviour("Numbers beyond 2^53 - 1 are refused with their field and limit") { talk in
            let phone = try await talk.device("phone")
            let highest = 9_007_199_254_740_991
            func delete(id: Int, base: Int) -> String {
                #"{"source_change_id":\#(id),"schema":"business","table":"users","op":"DELETE","#
                    + #""pk":"\#(talk.key(1))","server_version":\#(base)}"#
            }
            let limit = "source_change_id must be between -\(highest) and \(highest)"
            for id in [highest + 1, Int.max, Int.min] {
                try await phone.upload(
                    delete(id: id, base: 0),
                    gives: .statuses(talk.badPayload(id, "bad_payload: \(limit)"), highest: 0))
            }
            for base in [highest + 1, Int.max] {
                try await phone.upload(
                    delete(id: 1, base: base),
                    gives: .statuses(
                        talk.badPayload(
                            1, "bad_payload: server_version must be at most \(highest)"),
                        highest: 0))
            }
            try await phone.get("sync/download?after=0", gives: .page(next: 0, until: 0))
        },
        Behaviour("Names, operations and keys are read in any case and with space around them") {
            talk in
            let phone = try await talk.device("phone")
            let bare = talk.key(1).replacing("-", with: "")
            try await phone.upload(
                #"{"SOURCE_CHANGE_ID":1,"Schema":" Business ","table":"USERS ","op":" insert","pk":"\#(talk.key(1).uppercased())","payload":\#(talk.userPayload(1, "a")),"more":[{}]}"#,
                gives: .statuses(talk.applied(1, 1), highest: 1))
            for (offset, pk) in [bare, "urn:uuid:\(talk.key(1))", "{\(talk.key(1))}"].enumerated() {
                let id = offset + 2
                try await phone.upload(
                    talk.change(
                        id, "users", pk, base: id - 1, op: "update",
                        payload: talk.userPayload(1, "\(id)")),
                    gives: .statuses(talk.applied(id, id), highest: id))
            }
        },
        Behaviour("P6, V11: another user's key is taken, and nothing more is said") { talk in
            let phone = try await talk.device("phone")
            let stranger = try await talk.device("phone", of: "bob")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await stranger.upload(
                talk.user(1, 1, name: "b"),
                gives: .statuses(
                    talk.invalid(
                        1, "key_taken",
                        "pk=\(talk.key(1)) cannot be used in business.users; choose another key"),
                    highest: 0))
            try await stranger.upload(
                talk.delete(2, "users", 1, base: 1),
                gives: .statuses(talk.applied(2, nil), highest: 0))
            try await stranger.get(
                "sync/download?after=0&include_self=true", gives: .page(next: 0, until: 0))
        },
        Behaviour("Text keys are what they are; each user has his own") { talk in
            let phone = try await talk.device("phone")
            let stranger = try await talk.device("phone", of: "bob")
            for device in [phone, stranger] {
                try await device.upload(
                    talk.change(1, "currencies", "EUR", payload: #"{"name":"Euro"}"#),
                    talk.change(2, "currencies", "eur", payload: #"{"name":"euro"}"#),
                    gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            }
            for pk in ["", String(repeating: "x", count: 513)] {
                try await phone.upload(
                    talk.change(3, "currencies", pk, payload: "{}"),
                    gives: .statuses(
                        talk.badPayload(
                            3,
                            "bad_payload: invalid key: a text key has 1 to 512 bytes and no U+0000"),
                        highest: 2
                    ))
            }
        },
        Behaviour("Limits are told: changes in an upload, bytes in a payload, bytes in a body") {
            talk in
            let phone = try await talk.device("phone")
            let message = "batch too large: changes=1001 limit=1000"
            let one = #"{"source_change_id":1}"#
            let refused = talk.invalid(1, "batch_too_large", message)
            try await phone.send(
                "POST", "sync/upload",
                body: Array(
                    #"{"changes":[\#(Array(repeating: one, count: 1001).joined(separator: ","))]}"#
                        .utf8),
                gives: Expected(
                    json:
                        #"{"accepted":false,"highest_server_seq":0,"statuses":[\#(Array(repeating: refused, count: 1001).joined(separator: ","))]}"#
                ))
            let large = #"{"name":"\#(String(repeating: "x", count: 1 << 20))"}"#
            try await phone.upload(
                talk.change(1, "users", talk.key(1), payload: large), talk.user(2, 2),
                gives: .statuses(
                    talk.badPayload(
                        1, "bad_payload: payload too large: \(large.utf8.count) > \(1 << 20)"),
                    talk.applied(2, 1), highest: 1))
            try await phone.send(
                "POST", "sync/upload", body: Array(repeating: 0x20, count: (16 << 20) + 1),
                gives: .error(
                    413, "payload_too_large",
                    "The body is larger than \(16 << 20) bytes; send fewer changes at once"))
        },
    ]
}
