import Model
import Postgres
import Testing

@testable import UploadService

@Suite("Nulls that their columns do not take")
struct RefusedNullTests {
    private static let tables = """
        CREATE TABLE s.strict (
            id uuid PRIMARY KEY, owner text NOT NULL, name text NOT NULL, size int NOT NULL,
            kind text NOT NULL DEFAULT 'plain', note text);
        CREATE TABLE s.filled (id uuid PRIMARY KEY, owner text NOT NULL, name text NOT NULL);
        CREATE FUNCTION s.fill() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.name := coalesce(NEW.name, 'filled');
            RETURN NEW;
        END $$;
        CREATE TRIGGER fill BEFORE INSERT ON s.filled FOR EACH ROW EXECUTE FUNCTION s.fill();
        """
    private static let yaml = """
          - {table: s.strict, owner: owner}
          - {table: s.filled, owner: owner}
        """
    private static let refused = "materialize_error 23502"

    private static func row(_ number: Int, _ payload: String) -> String {
        change(number, "INSERT", "strict", id("\(number + 100)"), payload)
    }

    @Test("They are refused with PostgreSQL's code and the first column's name, and recorded")
    func refused() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let result = try await database.upload(
                "ann", Self.row(1, #"{"name":"good","size":1}"#),
                Self.row(2, #"{"size":null,"name":null,"note":null}"#),
                Self.row(3, #"{"name":"good","size":null,"kind":"odd"}"#),
                Self.row(4, #"{"name":"good","size":2,"kind":null,"note":null}"#))
            #expect(
                result.outcomes.map(\.line)
                    == ["applied 1", Self.refused, Self.refused, "applied 1"])
            let messages = result.outcomes.compactMap { outcome -> String? in
                guard case .materializeError(_, let message) = outcome else { return nil }
                return message
            }
            #expect(
                messages
                    == ["name", "size"].map {
                        "s.strict refused the row: SQLSTATE 23502 "
                            + "(not null violation, column \"\($0)\")"
                    })
            #expect(
                try await database.value(
                    """
                    SELECT string_agg(sqlstate || ' ' || error, '; ' ORDER BY key)
                    FROM sync.materialize_failures
                    """)
                    == ["name", "size"].map {
                        "23502 null value in column \"\($0)\" violates not-null constraint"
                    }.joined(separator: "; "))
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("PostgreSQL is not asked: the answer does not wait for the table")
    func unasked() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload("ann", change(1, "INSERT", "filled", id("f1"), "{}"))
            let plain = try await SyncedDatabase.connect(database.url)
            defer { plain.close() }
            try await plain.execute(script: "BEGIN; LOCK TABLE s.strict")
            #expect(
                try await database.outcomes("ann", Self.row(2, #"{"name":null,"size":1}"#))
                    == [Self.refused])
            // Another row of the table waits in vain.
            #expect(
                try await database.outcomes("ann", Self.row(3, #"{"name":"good","size":1}"#))
                    == ["materialize_error 55P03"])
            try await plain.execute(script: "ROLLBACK")
        }
    }

    @Test("A null in an update is refused, and the row stays; what a trigger fills is stored")
    func others() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload("ann", Self.row(1, #"{"name":"good","size":1}"#))
            #expect(
                try await database.outcomes(
                    "ann",
                    change(2, "UPDATE", "strict", id("101"), base: 1, #"{"name":null}"#),
                    change(3, "INSERT", "filled", id("f1"), #"{"name":null}"#))
                    == [Self.refused, "applied 1"])
            #expect(try await database.value("SELECT name FROM s.strict") == "good")
            #expect(try await database.value("SELECT name FROM s.filled") == "filled")
            // A conflict is one, whatever the payload has.
            let answer = try await database.outcomes(
                "ann", change(4, "UPDATE", "strict", id("101"), base: 7, #"{"name":null}"#))
            #expect(answer[0].hasPrefix("conflict 1 "))
        }
    }

    @Test("An upload with one is written as far as it goes, or not at all if it is atomic")
    func atomic() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let batch = [
                Self.row(1, #"{"name":"good","size":1}"#), Self.row(2, #"{"name":null,"size":1}"#),
            ].joined(separator: ",")
            let whole = try await database.outcomes("ann", atomic: true, batch)
            #expect(whole == ["aborted", Self.refused])
            let count = try await database.value("SELECT count(*)::text FROM s.strict")
            #expect(count == "0")
            let parts = try await database.outcomes("ann", batch)
            #expect(parts == ["applied 1", Self.refused])
        }
    }
}
