import Foundation
import OverSQLite

/// Tables with integer keys, for clients that ask for them and for others.
enum Numbers {
    static let behaviours = [
        Behaviour("An integer key is its digits, for clients that ask for such keys") { talk in
            var phone = try await talk.device("phone")
            var laptop = try await talk.device("laptop")
            (phone.keyKinds, laptop.keyKinds) = ("integer", "text, integer")
            let (one, two) = (talk.number(1), talk.number(2))
            let payload = #"{"id":\#(one),"title":"a","next_id":null}"#
            try await phone.upload(
                talk.change(1, "tickets", "\(one)", payload: payload),
                gives: .statuses(talk.applied(1, 1), highest: 1))
            try await laptop.get(
                "sync/download?after=0",
                gives: .page(talk.ticket(1, one, payload), next: 1, until: 1))
            let missing = #"{"missing":["business.tickets:\#(two + 1)"]}"#
            try await laptop.upload(
                talk.change(1, "tickets", "\(two)", payload: #"{"next_id":\#(two + 1)}"#),
                talk.change(2, "tickets", "\(two)", payload: #"{"next_id":\#(one)}"#),
                gives: .statuses(
                    #"{"source_change_id":1,"status":"invalid","invalid":{"reason":"fk_missing","#
                        + #""details":\#(missing)}}"#,
                    talk.applied(2, 1), highest: 2))
            var stranger = try await talk.device("phone", of: "bob")
            stranger.keyKinds = "integer"
            try await stranger.upload(
                talk.change(1, "tickets", "\(one)", payload: "{}"),
                gives: .statuses(
                    talk.invalid(
                        1, "key_taken",
                        "pk=\(one) cannot be used in business.tickets; choose another key"),
                    highest: 0))
        },
        Behaviour("Any other text is no integer key") { talk in
            var phone = try await talk.device("phone")
            phone.keyKinds = "integer"
            for pk in ["", "+5", "05", "-0", "5 ", "1e3", "9223372036854775808", talk.key(1)] {
                try await phone.upload(
                    talk.change(1, "tickets", pk, payload: "{}"),
                    gives: .statuses(
                        talk.badPayload(
                            1,
                            "bad_payload: invalid key \(pk): pk of business.tickets is a whole "
                                + "number from -9223372036854775808 to 9223372036854775807 in "
                                + "decimal digits, as -5, 0 or 42: no leading zeros, no + and no "
                                + "blanks"),
                        highest: 0))
            }
        },
        Behaviour("To clients that do not ask, tables with integer keys are not there") { talk in
            var phone = try await talk.device("phone")
            phone.keyKinds = "integer"
            let one = talk.number(1)
            try await phone.upload(
                talk.change(1, "tickets", "\(one)", payload: #"{"title":"a"}"#), talk.user(2, 1),
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            for kinds in [nil, "", "Integer", "numbers"] as [String?] {
                var old = try await talk.device("old")
                old.keyKinds = kinds
                let page = try await old.response("GET", "sync/download?after=0")
                let text = String(decoding: page.body, as: UTF8.self)
                if text.contains("tickets") || !text.contains(#""next_after":2"#) {
                    talk.note("\(kinds ?? "nothing"): \(text)")
                }
                let told = try await old.response("GET", "sync/capabilities").body
                if String(decoding: told, as: UTF8.self).contains("tickets") {
                    talk.note("\(kinds ?? "nothing"): told of the table")
                }
                let message =
                    "business.tickets has integer keys, which this client does not ask for: "
                    + "send the header Oversync-Key-Kinds: integer"
                let details = #"{"schema":"business","table":"tickets"}"#
                try await old.upload(
                    talk.change(1, "tickets", "\(one)", base: 1, op: "UPDATE", payload: "{}"),
                    gives: .statuses(
                        #"{"source_change_id":1,"status":"invalid","message":"\#(message)","#
                            + #""invalid":{"reason":"forbidden_table","details":\#(details)}}"#,
                        accepted: false, highest: 2))
            }
        },
        Behaviour("Numbers are leased to one device, for tables that the caller may write to") {
            talk in
            var phone = try await talk.device("phone")
            var laptop = try await talk.device("laptop", of: "bob")
            (phone.keyKinds, laptop.keyKinds) = ("integer", "integer")
            let told = try await phone.response("GET", "sync/capabilities").body
            if !String(decoding: told, as: UTF8.self).contains(#""leases_keys":true"#) {
                talk.note("no table leases keys")
            }
            var all: [Int64] = []
            for device in [phone, laptop, phone] {
                let leases = try await device.leases(("tickets", 30), ("users", 1), ("nothing", 1))
                let (tickets, users, nothing) = (leases[0], leases[1], leases[2])
                if tickets.numbers.count != 30 || tickets.shortage != nil {
                    talk.note("tickets: \(tickets)")
                }
                if users.shortage != "no_sequence" || !users.ranges.isEmpty {
                    talk.note("users: \(users)")
                }
                if nothing.shortage != "forbidden_table" || !nothing.ranges.isEmpty {
                    talk.note("nothing: \(nothing)")
                }
                all += tickets.numbers
            }
            if Set(all).count != all.count { talk.note("a number was leased twice: \(all)") }
            try await phone.upload(
                talk.change(1, "tickets", "\(all[0])", payload: #"{"title":"leased"}"#),
                gives: .statuses(talk.applied(1, 1), highest: 1))
            phone.keyKinds = nil
            let hidden = try await phone.leases(("tickets", 1))
            if hidden[0].shortage != "forbidden_table" { talk.note("hidden: \(hidden)") }
            let response = try await phone.response("POST", "sync/keys", body: Array("[]".utf8))
            if response.status != 400 { talk.note("a list: \(response.status)") }
        },
        Behaviour("The fingerprint of readable tables is another one for clients that ask") {
            talk in
            var phone = try await talk.device("phone")
            phone.tables = "unknown"
            let before = try await phone.response("GET", "sync/bootstrap").headers[
                "oversync-tables"]
            phone.keyKinds = "integer"
            let after = try await phone.response("GET", "sync/bootstrap").headers["oversync-tables"]
            if before == nil || after == nil || before == after {
                talk.note("\(before ?? "nothing") and \(after ?? "nothing")")
            }
            let told = try await phone.response("GET", "sync/capabilities").body
            if !String(decoding: told, as: UTF8.self).contains(#""business.tickets""#) {
                talk.note("not among the readable tables")
            }
        },
    ]
}

/// A table of an answer to `/sync/keys`.
private struct LeasedTable: Decodable {
    struct Range: Decodable {
        let first: Int64
        let count: Int64
        let step: Int64
    }

    let ranges: [Range]
    let shortage: String?

    var numbers: [Int64] {
        ranges.flatMap { range in (0..<range.count).map { range.first + $0 * range.step } }
    }
}

extension WirePeer {
    fileprivate func leases(_ tables: (String, Int)...) async throws -> [LeasedTable] {
        struct Answer: Decodable {
            let tables: [LeasedTable]
        }
        let asked = tables.map { #"{"schema":"business","table":"\#($0)","count":\#($1)}"# }
        let body = #"{"tables":[\#(asked.joined(separator: ","))]}"#
        let response = try await response("POST", "sync/keys", body: Array(body.utf8))
        return try JSONDecoder().decode(Answer.self, from: Data(response.body)).tables
    }
}

extension Conversation {
    /// A number of this conversation's own.
    fileprivate func number(_ number: Int) -> Int { base * 100 + number }

    /// A change of the log that made a ticket.
    fileprivate func ticket(_ sequence: Int, _ key: Int, _ payload: String) -> String {
        """
        {"server_id":\(sequence),"schema":"business","table":"tickets","op":"INSERT",\
        "pk":"\(key)","payload":\(payload),"server_version":1,"deleted":false,\
        "source_id":"phone","source_change_id":1,"ts":"x"}
        """
    }
}
