import Model
import Postgres
@testable import Sidecar
import Testing
@testable import UploadService

@Suite("Columns that stay on the server, and columns that devices only read")
struct WithheldColumnsTests {
    private static let tables = """
        CREATE TABLE s.orders (id uuid PRIMARY KEY, owner text, body text,
            "Secret" text DEFAULT 'made', margin numeric NOT NULL DEFAULT 7,
            state text DEFAULT 'new', price int DEFAULT 1,
            note_id uuid REFERENCES s.notes);
        """
    private static let usual =
        "except: [Secret, margin, note_id], read_only: {state: [], price: [clerk]}"

    private static func yaml(_ options: String) -> String {
        "  - {table: s.orders, owner: owner\(options.isEmpty ? "" : ", ")\(options)}"
    }

    private static func with(
        _ options: String = usual, _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml(options), body)
    }

    private static func register(_ options: String, _ database: SyncedDatabase) async throws {
        let more = try RegistrationFile.parse("tables:\n" + yaml(options))
        try await Registration.apply(SyncedDatabase.registrations + more, on: database.sql)
        try await database.source.refresh()
    }

    private static func row(_ database: SyncedDatabase, _ key: String = "a1") async throws
        -> String?
    {
        try await database.value(
            """
            SELECT concat_ws('|', body, "Secret", margin, state, price, note_id) FROM s.orders
            WHERE id = '\(id(key))'
            """)
    }

    @Test("Plain SQL shows devices the others; a change of these alone is none")
    func captured() async throws {
        try await Self.with { database in
            try await database.execute(
                "INSERT INTO s.orders (id, owner, body) VALUES ('\(id("a1"))', 'ann', 'x')")
            let payload = try #require(try await database.download("ann").last?.payload)
            #expect(payload == ["id": id("a1"), "body": "x", "state": "new", "price": "1"])
            try await database.execute("UPDATE s.orders SET \"Secret\" = 'other', margin = 8")
            #expect(try await database.feed("ann") == ["I orders a1 1"])
            try await database.execute("UPDATE s.orders SET state = 'sent', margin = 9")
            #expect(try await database.download("ann").last?.payload?["state"] == "sent")
            #expect(try await database.verify().0 == [])
        }
    }

    /// What devices write for such columns; all is left out.
    static let payloads = [
        #"{"body":"x","secret":"s","margin":1,"state":"paid","price":5}"#,
        #"{ "margin" : 1 , "body" : "x" , "secret" : {"deep":[1,2]} }"#,
        #"{"s\u0065cret":"s","body":"x","st\u0061te":null,"margin":null}"#,
        #"{"note_id":"00000000-0000-4000-8000-0000000000ff","body":"x"}"#,
        #"{"note_id":5,"state":{},"price":"no number","body":"x"}"#,
    ]

    @Test(
        "What a device sends for them is left out: defaults on insert, as it was on update",
        arguments: payloads)
    func sent(_ payload: String) async throws {
        try await Self.with { database in
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "orders", id("a1"), payload))
                    == ["applied 1"])
            #expect(try await Self.row(database) == "x|made|7|new|1")
            try await database.execute(
                "UPDATE s.orders SET \"Secret\" = 'kept', margin = 9, state = 'sent', price = 3")
            #expect(
                try await database.outcomes(
                    "ann", change(2, "UPDATE", "orders", id("a1"), base: 2, payload))
                    == ["applied 3"])
            #expect(try await Self.row(database) == "x|kept|9|sent|3")
            // A new row has its defaults, too, and an edit of a column that is only read is
            // answered with what is stored.
            let own = try await database.download("ann").filter { $0.source != "" }
            let isOverruled = ["price", "state", "st\\u0061te"].contains {
                payload.contains("\"\($0)\"")
            }
            let stored = ["id": id("a1"), "body": "x", "state": "sent", "price": "3"]
            #expect(
                own.map(\.payload) == [
                    ["id": id("a1"), "body": "x", "state": "new", "price": "1"],
                    isOverruled ? stored : ["body": "x"],
                ])
            // Sent again after a lost answer, it is the same change.
            #expect(
                try await database.outcomes(
                    "ann", change(2, "UPDATE", "orders", id("a1"), base: 2, payload))
                    == ["applied 3"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A payload of nothing else is an empty change, beside others of the batch")
    func nothingElse() async throws {
        try await Self.with { database in
            let outcomes = try await database.outcomes(
                "ann", change(1, "INSERT", "orders", id("a1"), #"{"margin":1}"#),
                change(2, "INSERT", "orders", id("a2"), #"{"body":"y"}"#),
                change(3, "INSERT", "notes", id("b1"), #"{"title":"z"}"#))
            #expect(outcomes == ["applied 1", "applied 1", "applied 1"])
            #expect(try await Self.row(database)?.hasSuffix("made|7|new|1") == true)
            #expect(try await Self.row(database, "a2") == "y|made|7|new|1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Who has one of the roles of a read-only column writes it")
    func roles() async throws {
        try await Self.with { database in
            let payload = #"{"body":"x","price":5,"state":"paid"}"#
            let clerk = try await database.upload(
                "ann", roles: ["clerk"], change(1, "INSERT", "orders", id("a1"), payload))
            let other = try await database.upload(
                "ann", roles: ["other"], change(2, "INSERT", "orders", id("a2"), payload))
            #expect((clerk.outcomes + other.outcomes).map(\.line) == ["applied 1", "applied 1"])
            #expect(try await Self.row(database) == "x|made|7|new|5")
            #expect(try await Self.row(database, "a2") == "x|made|7|new|1")
        }
    }

    @Test("From now on: values go from the log, and come back to devices when the column does")
    func changed() async throws {
        try await Self.with("") { database in
            try await database.upload(
                "ann", change(1, "INSERT", "orders", id("a1"), #"{"body":"x","secret":"told"}"#))
            try await database.execute("UPDATE s.orders SET margin = 8")
            try await Self.register("except: [Secret, margin]", database)
            for change in try await database.download("ann") {
                #expect(change.payload?["body"] == "x")
                #expect(change.payload?["secret"] == nil && change.payload?["margin"] == nil)
            }
            try await database.execute("UPDATE s.orders SET \"Secret\" = 'later'")
            #expect(try await database.download("ann").count == 2)
            #expect(try await database.verify().0 == [])
            try await Self.register("except: [margin]", database)
            let last = try await database.download("ann").last
            #expect(last?.sequence == 3)
            #expect(last?.payload?["secret"] == "later" && last?.payload?["margin"] == nil)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("They are no flaw of the table, also after it was altered")
    func noFlaw() async throws {
        try await Self.with { database in
            #expect(database.source.flaws == [])
            try await database.source.refresh()
            #expect(database.source.flaws == [])
            try await database.execute(
                """
                ALTER TABLE s.orders ADD more text DEFAULT 'm';
                INSERT INTO s.orders (id, owner) VALUES ('\(id("a1"))', 'ann')
                """)
            let payload = try #require(try await database.download("ann").last?.payload)
            #expect(payload["more"] == "m")
            #expect(payload["margin"] == nil && payload["secret"] == nil)
            try await database.source.refresh()
            #expect(database.source.flaws.map(\.kind) == [.columnsChanged])
        }
    }

    /// Options that cannot be, and what is said of them.
    static let refused = [
        ("except: [nothing]", "the table has no column \"nothing\""),
        ("except: [id]", "\"id\" is the key or the owner column"),
        ("read_only: {owner: []}", "\"owner\" is the key or the owner column"),
        ("except: [state], read_only: {state: []}", "\"state\" stays on the server"),
    ]

    @Test("A column that is not there, or that everything rests on, is refused", arguments: refused)
    func refusal(_ option: (yaml: String, says: String)) async throws {
        try await Self.with { database in
            let error = await #expect(throws: RegistrationError.self) {
                try await Self.register(option.yaml, database)
            }
            #expect(error?.description.contains(option.says) == true)
        }
    }
}
