import Model
import Testing
@testable import UploadService

/// What becomes, on the device that sent them, of values that were left out.
@Suite("Values of columns that devices only read come back as the stored ones")
struct OverruledValuesTests {
    private static let tables = """
        CREATE TABLE s.orders (id uuid PRIMARY KEY, owner text, body text, price int, state text,
            "Secret" text, level int NOT NULL DEFAULT 7, kind text NOT NULL DEFAULT 'plain',
            at timestamptz)
        """
    private static let yaml =
        "  - {table: s.orders, owner: owner, except: [Secret], "
        + "read_only: {price: [clerk], state: [], kind: []}}"

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, body)
    }

    private static func order(
        _ number: Int, _ op: String, _ key: String, base: Int = 0, _ payload: String
    ) -> String {
        change(number, op, "orders", id(key), base: base, payload)
    }

    /// A row that names every column that a default fills in.
    private static let whole = #"{"body":"x","level":1,"kind":"plain"}"#

    private static func logged(_ number: Int, _ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            "SELECT payload::text FROM sync.change_log WHERE source_change_id = \(number)")
    }

    /// What a device sends, in addition to the body, for columns that it only reads.
    static let members = [
        #""price":5"#, #""price":null"#, #""price":"no number""#, #""price":[1]"#,
        #""state":"paid""#, #""state":{},"price":3"#, #""st\u0061te":"paid","secret":"s""#,
    ]

    @Test("An edit is applied without them, and its device gets the stored row", arguments: members)
    func edited(_ member: String) async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", Self.order(1, "INSERT", "a1", #"{"body":"x","level":1}"#))
            try await database.execute("UPDATE s.orders SET price = 3, state = 'sent'")
            let edit = Self.order(2, "UPDATE", "a1", base: 2, #"{"body":"y",\#(member)}"#)
            for _ in 0..<2 {
                let answer = try await database.outcomes("ann", edit)
                #expect(answer == ["applied 3"])
            }
            let own = try await database.own("ann", device: "phone").last
            #expect(own?.version == 3)
            #expect(own?.payload?["body"] == "y")
            #expect(own?.payload?["price"] == "3" && own?.payload?["state"] == "sent")
            #expect(own?.payload?["secret"] == nil)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A new row is applied without them; where NULL is stored, its device gets that")
    func created() async throws {
        try await Self.with { database in
            let answer = try await database.outcomes(
                "ann",
                Self.order(1, "INSERT", "a1", #"{"body":"x","level":1,"price":5,"state":"paid"}"#))
            #expect(answer == ["applied 1"])
            let own = try await database.own("ann", device: "phone").last?.payload
            #expect(own?["price"] == "<null>" && own?["state"] == "<null>")
            #expect(own?["kind"] == "plain")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A null for a NOT NULL column with a default means that beside what is left out, too")
    func nulls() async throws {
        try await Self.with { database in
            let answer = try await database.outcomes(
                "ann", Self.order(1, "INSERT", "a1", #"{"price":5,"level":null,"kind":null}"#),
                Self.order(2, "INSERT", "a2", #"{"secret":"s","level":null}"#),
                Self.order(3, "INSERT", "a3", #"{"kind":null,"level":2}"#))
            #expect(answer == ["applied 1", "applied 1", "applied 1"])
            #expect(
                try await database.value(
                    "SELECT string_agg(level || kind, ' ' ORDER BY id) FROM s.orders")
                    == "7plain 7plain 2plain")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Without a column that stays on the server, a change is compared as any other")
    func exceptAlone() async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", roles: ["clerk"],
                Self.order(1, "INSERT", "a1", #"{"body":"x","level":1}"#))
            let start = try await database.download("ann").count
            // Names in any case of letters.
            for (number, name) in [(2, "secret"), (3, "Secret"), (4, "SECRET")] {
                let answer = try await database.outcomes(
                    "ann",
                    Self.order(
                        number, "UPDATE", "a1", base: number - 1,
                        #"{"\#(name)":"s","body":"\#(name)"}"#))
                #expect(answer == ["applied \(number)"])
                #expect(
                    try await Self.logged(number, database) == #"{"body":"\#(name)"}"#)
            }
            try await database.upload(
                "ann",
                Self.order(
                    5, "UPDATE", "a1", base: 4,
                    #"{"secret":"s","at":"2026-03-01T10:00:00.1234567Z"}"#))
            let all = try await database.download("ann")
            #expect(all.count == start + 4)
            #expect(all.last?.payload?["at"] == "2026-03-01T10:00:00.123457+00:00")
            #expect(try await database.value("SELECT \"Secret\" FROM s.orders") == "NULL")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Who may write the column has nothing left out, and nothing comes back")
    func writer() async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", Self.order(1, "INSERT", "a1", #"{"body":"x","level":1}"#))
            let sent = #"{ "price" : 5 }"#
            try await database.upload(
                "ann", roles: ["clerk"], Self.order(2, "UPDATE", "a1", base: 1, sent))
            #expect(try await Self.logged(2, database) == sent)
            #expect(try await database.value("SELECT price::text FROM s.orders") == "5")
        }
    }

    @Test("In a chain, beside a refused row, and in the conflict that an upload has with itself")
    func places() async throws {
        try await Self.with { database in
            try await database.execute("ALTER TABLE s.orders ADD CHECK (body <> 'bad')")
            try await database.upload(
                "ann", Self.order(1, "INSERT", "a1", Self.whole),
                Self.order(2, "INSERT", "a2", Self.whole))
            try await database.execute("UPDATE s.orders SET price = 3 WHERE id = '\(id("a1"))'")
            let answer = try await database.outcomes(
                "ann", Self.order(11, "UPDATE", "a1", base: 2, #"{"body":"y","price":5}"#),
                Self.order(12, "UPDATE", "a1", base: 3, #"{"level":2,"price":6}"#),
                Self.order(13, "UPDATE", "a2", base: 1, #"{"body":"bad"}"#),
                Self.order(14, "UPDATE", "a1", base: 9, #"{"body":"z"}"#))
            #expect(answer[..<3] == ["applied 3", "applied 4", "materialize_error 23514"])
            #expect(answer[3].hasPrefix("conflict 4 by phone/12 "))
            #expect(answer[3].contains(#""price":3"#))
            let own = try await database.own("ann", device: "phone").suffix(2)
            #expect(own.map { $0.payload?["price"] } == ["3", "3"])
            #expect(own.map { $0.payload?["level"] } == ["1", "2"])
            #expect(try await database.verify().0 == [])
        }
    }
}
