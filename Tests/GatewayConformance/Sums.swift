import Digests
import OverSQLite

/// Promise P8 on the wire: sums of what a log says last of each row, and the rows themselves.
enum Sums {
    static let behaviours = [
        Behaviour("A digest sums the newest payloads of live rows, byte for byte") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await laptop.get(
                "sync/digest?schema=business&table=users", gives: sums([], head: 0))
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2), talk.user(3, 3),
                gives: .statuses(
                    talk.applied(1, 1), talk.applied(2, 1), talk.applied(3, 1), highest: 3))
            try await phone.upload(
                talk.user(4, 1, base: 1, name: "b"), talk.delete(5, "users", 2, base: 1),
                gives: .statuses(talk.applied(4, 2), talk.applied(5, 2), highest: 5))
            let terms = [
                term(talk, 1, version: 2, name: "b"), term(talk, 3, version: 1, name: "a"),
            ]
            try await laptop.get(
                "sync/digest?schema=business&table=users", gives: sums(terms, head: 5))
            for count in [256, 4096] {
                let bucket = RowBuckets.bucket(of: talk.key(1), count: count)
                let row =
                    #"{"pk":"\#(talk.key(1))","server_version":2,"term":\#(terms[0])}"#
                try await laptop.get(
                    "sync/digest?schema=business&table=users&buckets=\(count)&bucket=\(bucket)",
                    gives: Expected(json: #"{"head":5,"rows":[\#(row)]}"#))
            }
            // What compaction removes is no live row's newest change.
            try await talk.gateway.compact(talk.user("ann"))
            try await laptop.get(
                "sync/digest?schema=business&table=users", gives: sums(terms, head: 5))
            let stranger = try await talk.device("phone", of: "bob")
            try await stranger.get(
                "sync/digest?schema=business&table=users", gives: sums([], head: 0))
            try await stranger.get(
                "sync/digest?schema=nowhere",
                gives: Expected(json: #"{"head":0,"digests":[]}"#))
        },
        Behaviour("Rows that are asked for come as the newest change of each") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2),
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            try await phone.upload(
                talk.user(3, 1, base: 1, name: "b"), talk.delete(4, "users", 2, base: 1),
                gives: .statuses(talk.applied(3, 2), talk.applied(4, 2), highest: 4))
            let first = talk.entry(
                3, "users", 1, "INSERT", version: 2, payload: talk.userPayload(1, "b"),
                by: "phone", 3)
            let second = talk.entry(
                4, "users", 2, "DELETE", version: 2, payload: nil, by: "phone", 4)
            let keys = [2, 1, 9].map(talk.key)
            try await phone.send(
                "POST", "sync/rows", body: body(keys),
                gives: .page(first, second, next: 4, until: 4))
            try await phone.send(
                "POST", "sync/rows?after=3", body: body(keys),
                gives: .page(second, next: 4, until: 4))
            let stranger = try await talk.device("phone", of: "bob")
            try await stranger.send(
                "POST", "sync/rows", body: body(keys), gives: .page(next: 0, until: 0))
        },
        Behaviour("A digest of what is not there, or of too much, is refused in words") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            let path = "sync/digest?schema=business&table="
            let refusals = [
                ("users&buckets=7", "buckets must be one of 256, 4096"),
                ("users&bucket=7", "buckets must be one of 256, 4096"),
                ("users&buckets=some", "buckets must be a number"),
                ("&buckets=256", "buckets are of one table: name it"),
                (
                    "users&buckets=256&bucket=256",
                    "bucket must name at most 64 numbers from 0 to 255"
                ),
                ("nothing&buckets=256", "table must name one that the caller may read"),
            ]
            for (query, message) in refusals {
                try await phone.get(path + query, gives: .invalid(message))
            }
            try await phone.send(
                "POST", "sync/rows", body: body(["x"], of: "nothing"),
                gives: .invalid("table must name one that the caller may read"))
            try await phone.send(
                "POST", "sync/rows",
                body: body((0...1000).map { talk.key($0) }),
                gives: .invalid("keys must be at most 1000"))
        },
    ]

    private static func term(
        _ talk: Conversation, _ number: Int, version: Int64, name: String
    ) -> Int64 {
        Array(talk.userPayload(number, name).utf8).withUnsafeBufferPointer {
            RowTerm.term(key: talk.key(number), version: version, payload: $0)
        }
    }

    private static func sums(_ terms: [Int64], head: Int) -> Expected {
        let sum = terms.reduce(0, RowTerm.add)
        return Expected(
            json: """
                {"head":\(head),"digests":[{"schema":"business","table":"users",\
                "live":\(terms.count),"sum":\(sum)}]}
                """)
    }

    private static func body(_ keys: [String], of table: String = "users") -> [UInt8] {
        let list = keys.map { "\"\($0)\"" }.joined(separator: ",")
        return Array(#"{"schema":"business","table":"\#(table)","keys":[\#(list)]}"#.utf8)
    }
}
