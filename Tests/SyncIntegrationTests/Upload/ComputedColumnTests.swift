import Model
import Testing
@testable import UploadService

/// Columns that no payload writes, and rows that an upload has to insert again.
@Suite("What payloads say of generated columns, and rows that had gone")
struct ComputedColumnTests {
    private static let tables = """
        CREATE TABLE s.sums (id uuid PRIMARY KEY, owner text NOT NULL, n int,
            total int GENERATED ALWAYS AS (n * 2) STORED,
            cost numeric(10,2) GENERATED ALWAYS AS (n * 1.5) STORED);
        CREATE TABLE s.kinds (id uuid PRIMARY KEY, owner text NOT NULL,
            a int NOT NULL DEFAULT 7 CHECK (a > 0), word text)
        """
    private static let yaml = """
          - {table: s.sums, owner: owner}
          - {table: s.kinds, owner: owner}
        """

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, body)
    }

    /// No values of the columns' types, and values of the types that are not the stored ones.
    static let garbage = [
        #""abc""#, "\"\"", "{}", #"{"x":[1]}"#, "[1]", "true", "null", #""1e400000""#, "1e400",
        "99999999999999999999", "5", #""NaN""#,
    ]

    @Test(
        "What a payload says of a generated column refuses no row, and becomes what is stored",
        arguments: garbage)
    func ignored(_ value: String) async throws {
        try await Self.with { database in
            for (number, op) in [(1, "INSERT"), (2, "UPDATE")] {
                let payload = #"{"n":2,"total":\#(value),"cost":\#(value)}"#
                let answer = try await database.outcomes(
                    "ann", change(number, op, "sums", id("a1"), base: number - 1, payload))
                #expect(answer == ["applied \(number)"])
            }
            let own = try await database.own("ann", device: "phone")
            #expect(own.map { $0.payload?["total"] } == ["4", "4"])
            let failures = try await database.value(
                "SELECT count(*)::text FROM sync.materialize_failures")
            #expect(failures == "0")
            #expect(
                try await database.value(
                    "SELECT string_agg(payload ->> 'cost', ' ') FROM sync.change_log")
                    == "3.00 3.00")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "The stored value itself, also with other zeros, is no difference",
        arguments: ["3", "3.0", "3.00", #""3.000""#])
    func same(_ cost: String) async throws {
        try await Self.with { database in
            let payload = #"{"n":2,"total":4,"cost":\#(cost)}"#
            try await database.upload("ann", change(1, "INSERT", "sums", id("a1"), payload))
            #expect(
                try await database.value("SELECT payload::text FROM sync.change_log") == payload)
            #expect(try await database.own("ann", device: "phone") == [])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A row that had gone and is inserted again has its defaults in the log")
    func insertedAgain() async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "kinds", id("a1"), #"{"a":1,"word":"x"}"#),
                change(2, "INSERT", "kinds", id("a2"), #"{"a":2,"word":"x"}"#))
            try await database.execute(
                """
                SET session_replication_role = replica;
                DELETE FROM s.kinds WHERE id = '\(id("a1"))';
                RESET session_replication_role
                """)
            let answer = try await database.outcomes(
                "ann", change(3, "UPDATE", "kinds", id("a1"), base: 1, #"{"word":"y"}"#),
                change(4, "UPDATE", "kinds", id("a2"), base: 1, #"{"word":"y"}"#))
            #expect(answer == ["applied 2", "applied 2"])
            let own = try await database.own("ann", device: "phone").suffix(2)
            #expect(own.first?.payload?["a"] == "7")
            #expect(own.last?.payload?["word"] == "y")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("V8: an edit beside a refused row is logged as it was sent, not as the whole row")
    func besideRefused() async throws {
        try await Self.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "kinds", id("a1"), #"{"a":1,"word":"x"}"#),
                change(2, "INSERT", "kinds", id("a2"), #"{"a":2,"word":"x"}"#))
            let sent = #"{ "word" : "y" }"#
            let answer = try await database.outcomes(
                "ann", change(3, "UPDATE", "kinds", id("a1"), base: 1, sent),
                change(4, "UPDATE", "kinds", id("a2"), base: 1, #"{"a":-1}"#))
            #expect(answer == ["applied 2", "materialize_error 23514"])
            #expect(
                try await database.value(
                    "SELECT payload::text FROM sync.change_log WHERE source_change_id = 3") == sent)
            #expect(try await database.own("ann", device: "phone") == [])
        }
    }
}
