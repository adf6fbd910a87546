import Model
import Postgres
import Testing

@testable import UploadService

/// What is looked up before the writes fails the rows that need it, and no others.
@Suite("Parents that cannot be looked up")
struct UnreadableParentTests {
    private static let tables = """
        CREATE SCHEMA away;
        CREATE TABLE away.countries (code text PRIMARY KEY);
        INSERT INTO away.countries VALUES ('at');
        CREATE TABLE s.cities (id uuid PRIMARY KEY, owner text,
            country text REFERENCES away.countries, capital_of text REFERENCES away.countries);
        CREATE TABLE s.streets (id uuid PRIMARY KEY, owner text,
            city uuid REFERENCES s.cities, note uuid REFERENCES s.notes);
        """
    private static let yaml = """
          - {table: s.cities, owner: owner}
          - {table: s.streets, owner: owner}
        """

    /// What takes the look-up away, and gives it back.
    private static let troubles: [(breaks: String, mends: String)] = [
        (
            "REVOKE SELECT ON away.countries FROM oversync_upload",
            "GRANT SELECT ON away.countries TO oversync_upload"
        ),
        (
            "REVOKE USAGE ON SCHEMA away FROM oversync_upload",
            "GRANT USAGE ON SCHEMA away TO oversync_upload"
        ),
    ]

    @Test(
        "A parent table without a privilege: the rows that need it are refused, others applied",
        arguments: UnreadableParentTests.troubles.indices)
    func refused(_ place: Int) async throws {
        let trouble = Self.troubles[place]
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            try await database.execute(trouble.breaks)
            let city = change(11, "INSERT", "cities", id("c1"), #"{"country":"at"}"#)
            let result = try await database.upload(
                "ann", city, change(12, "INSERT", "cities", id("c2"), #"{"country":null}"#),
                change(13, "INSERT", "streets", id("d1"), #"{"city":"\#(id("c2"))"}"#),
                change(14, "INSERT", "streets", id("d2"), #"{"city":"\#(id("c1"))"}"#),
                change(15, "INSERT", "streets", id("d3"), #"{"note":"\#(id("a1"))"}"#),
                change(16, "INSERT", "notes", id("a2"), "{}"))
            #expect(
                result.outcomes.map(\.line) == [
                    "materialize_error 42501", "applied 1", "applied 1",
                    "invalid fk_missing s.cities:\(id("c1"))", "applied 1", "applied 1",
                ])
            if case .materializeError(_, let message)? = result.outcomes.first {
                #expect(message.contains("away.countries"))
            }
            #expect(
                result.blockedTables
                    == [TableName(schema: "s", table: "cities"): .insufficientPrivilege])
            #expect(
                try await database.value(
                    "SELECT string_agg(source_change_id || ' ' || sqlstate, ',') "
                        + "FROM sync.materialize_failures") == "11 42501")
            #expect(try await database.verify().0 == [])
            try await database.execute(trouble.mends)
            #expect(try await database.outcomes("ann", city) == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("An atomic upload with such a row leaves nothing")
    func atomic() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.execute(Self.troubles[0].breaks)
            let answer = try await database.outcomes(
                "ann", atomic: true, change(1, "INSERT", "notes", id("a1"), "{}"),
                change(2, "INSERT", "cities", id("c1"), #"{"country":"at"}"#))
            #expect(answer == ["aborted", "materialize_error 42501"])
            #expect(try await database.download("ann") == [])
        }
    }
}
