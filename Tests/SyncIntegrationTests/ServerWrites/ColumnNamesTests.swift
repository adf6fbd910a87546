import Foundation
import Model
import Sidecar
import Testing

@Suite("Columns have any name that PostgreSQL permits, those of our own statements included")
struct ColumnNamesTests {
    /// What generated statements call things, or could take for the place of something else.
    static let names = [
        "@n", "@key", "@row", "@columns@", "@source@", "%1$s", "%2$s", "%", "$1", "a", "b", "c",
        "k", "l",
        "n", "o", "p", "r", "s", "t", "u", "w", "x", "key", "op", "seq", "version", "deleted",
        "payload",
        "user_id", "scope_id", "table_id", "columns", "source", "captured", "is_upload",
        "own_scope",
        "own_first", "own_last", "new_rows", "old_rows", "excluded", "changed", "numbered",
        "written", "updated",
        "tg_op", "new", "old", "json", "oid", "Key", "quo\"te",
    ]

    struct Case: Sendable, CustomTestStringConvertible {
        let key: String
        let owner: String?

        var testDescription: String { "key \(key), owner \(owner ?? "none")" }

        /// The columns that devices see apart from key and owner, by their wire names.
        var others: [String: String] {
            let own = [key, owner].compactMap { $0?.lowercased() }
            let others = names.filter { !own.contains($0.lowercased()) }
            return Dictionary(others.map { ($0.lowercased(), $0) }) { first, _ in first }
        }

        var table: String {
            let columns = ([owner].compactMap { $0 } + others.values).map { "\(quoted($0)) text" }
            return
                "CREATE TABLE s.named (\(quoted(key)) text PRIMARY KEY, \(columns.joined(separator: ", ")))"
        }

        var registration: String {
            "- {table: s.named, key: '\(key)'" + (owner.map { ", owner: '\($0)'" } ?? "") + "}"
        }

        func payload(_ value: String) throws -> String {
            let members = others.mapValues { _ in value }
            return String(decoding: try JSONEncoder().encode(members), as: UTF8.self)
        }

        func update(to value: String) -> String {
            let sets = others.values.map { "\(quoted($0)) = '\(value)'" }.joined(separator: ", ")
            return "UPDATE s.named SET \(sets)"
        }
    }

    static let cases = [
        Case(key: "@key", owner: "@n"), Case(key: "w", owner: "t"),
        Case(key: "%1$s", owner: "@columns@"),
        Case(key: "columns", owner: "source"), Case(key: "KEY", owner: "@source@"),
        Case(key: "@row", owner: "x"), Case(key: "n", owner: nil),
        Case(key: "@columns@", owner: nil),
    ]

    @Test("Uploads, plain SQL, altered tables and verify get along with them", arguments: cases)
    func anyName(_ table: Case) async throws {
        try await SyncedDatabase.with(tables: table.table, registered: table.registration) {
            database in
            func shown() async throws -> Set<String> {
                let payload = try #require(try await database.download("ann").last?.payload)
                return Set(table.others.keys.map { payload[$0] ?? "absent" })
            }
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "named", "k1", try table.payload("one")))
                    == ["applied 1"])
            #expect(try await shown() == ["one"])
            try await database.execute(table.update(to: "two"))
            #expect(try await shown() == ["two"])
            #expect(
                try await database.outcomes(
                    "ann", change(2, "UPDATE", "named", "k1", base: 2, try table.payload("three")))
                    == ["applied 3"])
            #expect(try await shown() == ["three"])
            #expect(try await database.verify().0 == [])

            try await database.execute("ALTER TABLE s.named ADD COLUMN extra text")
            try await database.execute(table.update(to: "four") + ", extra = 'more'")
            #expect(try await shown() == ["four"])
            #expect(try await database.download("ann").last?.payload?["extra"] == "more")
            try await database.execute("DELETE FROM s.named")
            #expect(try await database.feed("ann", after: 4) == ["D named k1 5"])
            if let owner = table.owner {
                try await database.execute(
                    "INSERT INTO s.named (\(quoted(table.key)), \(quoted(owner))) VALUES ('k2', 'ann')"
                )
                #expect(try await database.feed("ann", after: 5) == ["I named k2 1"])
            }
            try await Registration.apply(
                SyncedDatabase.registrations
                    + RegistrationFile.parse("tables:\n\(table.registration)"),
                on: database.sql)
            #expect(try await database.verify().0 == [])
        }
    }
}
