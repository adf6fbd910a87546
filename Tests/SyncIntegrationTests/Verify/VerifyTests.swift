import Model
import Postgres
import Sidecar
import Testing
import TestSupport
@testable import UploadService

@Suite("oversync verify names each difference, and repairs what has one plain truth")
struct VerifyTests {
    @Test("After uploads and plain SQL of every kind there is no difference")
    func clean() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            let (found, summary) = try await database.verify()
            #expect(found == [])
            #expect(summary.users == 2)
            #expect(summary.changes == 14)
            #expect(summary.rows == 7)
        }
    }

    @Test("Rows that are no user's are counted for each table, and are no differences")
    func rowsOfNobody() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            let (found, summary) = try await database.verify()
            #expect(found == [])
            #expect(summary.differences == 0)
            #expect(
                summary.rowsOfNobody.map(\.description) == [
                    "rows_of_nobody table=s.notes rows=1 (owner is NULL or empty: set it, and the user's devices get them)",
                    "rows_of_nobody table=s.tags rows=1 (oversync adopt s.tags --user USER gives them to a user)",
                ])
            #expect(try await database.verify(user: "ann").1.rowsOfNobody == [])
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) VALUES ('\(id("d4"))', ''), ('\(id("d5"))', NULL);
                UPDATE s.notes SET owner = 'bob' WHERE id = '\(id("d3"))';
                DELETE FROM s.tags WHERE code = 'nobody'
                """)
            #expect(
                try await database.verify().1.rowsOfNobody.map { "\($0.table) \($0.count)" }
                    == ["s.notes 2"])
        }
    }

    /// What is done without the sidecar's knowledge, and what verify must say; `!` before a kind
    /// that repair corrects.
    static let damages: [(sql: String, finds: [String])] = [
        (
            "DELETE FROM sync.change_log WHERE seq = 2 AND scope_id = 1",
            ["sequence_gap user=ann after=1 next=3", "stale_state user=ann table=s.notes key=a1"]
        ),
        (
            "UPDATE sync.scope SET last_seq = last_seq + 5 WHERE user_id = 'ann'",
            ["sequence_gap user=ann last_seq="]
        ),
        (
            "UPDATE sync.row_state SET version = 0 WHERE scope_id = 1 AND seq = 3",
            ["!stale_state user=ann table=s.items key=b1"]
        ),
        (
            "DELETE FROM sync.row_state WHERE scope_id = 1 AND seq = 3",
            [
                "!stale_state user=ann table=s.items key=b1",
                "unknown_row user=ann table=s.items key=b1",
            ]
        ),
        ("DELETE FROM sync.source", ["unknown_source user=ann source=1"]),
        (
            """
            ALTER TABLE s.items DISABLE TRIGGER USER; DELETE FROM s.items;
            ALTER TABLE s.items ENABLE TRIGGER USER
            """,
            [
                "+missing_row user=ann table=s.items key=b1",
                "+missing_row user=ann table=s.items key=b2",
            ]
        ),
        (
            """
            SET session_replication_role = replica;
            UPDATE s.notes SET title = 'unseen', "Big" = 7 WHERE id = '\(id("a1"))';
            INSERT INTO s.notes (id, owner) VALUES ('\(id("f1"))', 'cleo');
            RESET session_replication_role
            """,
            [
                "!different_row user=ann table=s.notes key=a1 columns=title,Big",
                "!unknown_row user=cleo table=s.notes key=f1",
            ]
        ),
        (
            "ALTER TABLE s.notes DISABLE TRIGGER oversync_capture_update",
            ["capture_off table=s.notes 3 of 4 triggers are on"]
        ),
        (
            "ALTER TABLE s.notes ADD COLUMN colour text",
            ["capture_off table=s.notes the table has changed since oversync migrate"]
        ),
    ]

    @Test("A key or name with line breaks or terminal escapes stays on its line")
    func hostileNames() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.prefs VALUES (E'ann\\r', E'k\\n0 differences\\x1b[2J"', 'x');
                RESET session_replication_role
                """)
            #expect(
                try await database.verify().0 == [
                    #"unknown_row user="ann\u{d}" table=s.prefs key="k\u{a}0 differences\u{1b}[2J\"""#
                ])
        }
    }

    @Test("Damage is found, named, and mended where that is safe", arguments: damages.indices)
    func damage(_ index: Int) async throws {
        let damage = Self.damages[index]
        try await SyncedDatabase.with { database in
            try await database.fill()
            try await database.execute(damage.sql)
            let (found, _) = try await database.verify()
            let wanted = damage.finds.map { $0.trimmingPrefix { $0 == "!" || $0 == "+" } }
            #expect(found.count >= wanted.count)
            #expect(!found.contains { $0.contains("missing_row") && $0.contains("columns=") })
            for line in wanted {
                #expect(found.contains { $0.hasPrefix(line) }, "\(line) not among \(found)")
            }
            let safe = damage.finds.contains { $0.hasPrefix("!") }
            let (left, _) = try await database.verify(repair: true)
            #expect(left.isEmpty == safe, "\(left)")
            if damage.finds.allSatisfy({ $0.hasPrefix("+") }) {
                #expect(try await database.verify(repair: true, acceptsDeletes: true).0 == [])
            }
        }
    }

    @Test(
        "A table whose older values do not fit its columns any more is named, and the others are compared"
    )
    func notCompared() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            try await database.upload(
                "ann", change(20, "INSERT", "tags", "t2", #"{"label":"no number"}"#))
            try await database.execute(
                """
                ALTER TABLE s.tags ALTER COLUMN label TYPE int USING 7;
                DELETE FROM s.prefs WHERE owner = 'bob'
                """)
            try await database.execute(
                "SET session_replication_role = replica; TRUNCATE s.items; RESET session_replication_role"
            )
            let found = try await database.verify().0
            let named =
                "not_compared table=s.tags column=label invalid input syntax for type integer"
            #expect(found.filter { $0.hasPrefix(named) }.count == 1)
            #expect(found.filter { $0.hasPrefix("missing_row user=ann table=s.items") }.count == 2)
        }
    }

    @Test(
        "A row whose newest change names no column is compared with what the changes before it named"
    )
    func emptyChange() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"one"}"#))
            try await database.upload(
                "ann", change(2, "UPDATE", "notes", id("a1"), base: 1, "{}"))
            #expect(try await database.verify().0 == [])
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.notes SET title = 'unseen';
                RESET session_replication_role
                """)
            #expect(
                try await database.verify().0
                    == ["different_row user=ann table=s.notes key=a1 columns=title"])
        }
    }

    @Test(
        "A registered table, key or owner column that is gone is named, and the others are compared",
        arguments: [
            ("ALTER TABLE s.tags RENAME TO labels", "not_there table=s.tags"),
            ("DROP TABLE s.prefs", "not_there table=s.prefs"),
            ("ALTER TABLE s.tags RENAME COLUMN code TO id", "not_there table=s.tags column=code"),
            ("ALTER TABLE s.prefs DROP COLUMN owner", "not_there table=s.prefs column=owner"),
        ])
    func notThere(_ damage: String, _ named: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            try await database.execute(damage)
            try await database.execute(
                "SET session_replication_role = replica; TRUNCATE s.items; RESET session_replication_role"
            )
            let found = try await database.verify(repair: true).0
            #expect(found.filter { $0 == named }.count == 1, "\(found)")
            #expect(found.filter { $0.hasPrefix("missing_row user=ann table=s.items") }.count == 2)
        }
    }

    @Test("A table or user that is not there is an error, not a clean bill")
    func unknownNames() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            await #expect(throws: Verifier.UnknownName.self) {
                _ = try await Verifier(
                    connection: database.sql, table: TableName(schema: "s", table: "nots")
                ).run { _ in }
            }
            await #expect(throws: Verifier.UnknownName.self) {
                _ = try await database.verify(user: "nobody")
            }
        }
    }

    @Test("JSON's own null in a column is what a payload's null says, and no difference")
    func jsonNull() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.docs (id uuid PRIMARY KEY, owner text, a json, b jsonb)",
            registered: "  - {table: s.docs, owner: owner}"
        ) { database in
            try await database.execute(
                "INSERT INTO s.docs VALUES ('\(id("a1"))', 'ann', 'null', 'null')")
            try await database.upload(
                "ann", change(1, "INSERT", "docs", id("a2"), #"{"a":null,"b":null}"#))
            #expect(try await database.verify().0 == [])
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.docs SET b = '0';
                RESET session_replication_role
                """)
            #expect(try await database.verify().0.count == 2)
        }
    }

    @Test("A repair reaches devices as changes of the server; the log keeps what it had")
    func repairsAreChanges() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            let before = try await database.download("ann")
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.notes SET title = 'unseen' WHERE id = '\(id("a1"))';
                DELETE FROM s.items WHERE id = '\(id("b1"))';
                RESET session_replication_role
                """)
            _ = try await database.verify(repair: true, acceptsDeletes: true)
            let after = try await database.download("ann")
            #expect(Array(after.prefix(before.count)) == before)
            let added = after.dropFirst(before.count)
            #expect(
                Set(added.map { "\($0.operation) \($0.key)" }) == [
                    "UPDATE \(id("a1"))", "DELETE \(id("b1"))",
                ])
            #expect(added.allSatisfy { $0.source == "" })
            #expect(added.first { $0.operation == "UPDATE" }?.payload?["title"] == "unseen")
        }
    }
}

extension SyncedDatabase {
    /// Some changes of every kind, by two users and by plain SQL.
    func fill() async throws {
        let photo = #""photo":"\#(String(repeating: "AQID", count: 40))""#
        try await upload(
            "ann",
            change(
                1, "INSERT", "notes", id("a1"),
                #"{"title":"one","big":12345678901234567890.120,"at":1767225600,\#(photo),"extra":{"b":[1,2.50]},"unknown":1}"#
            ),
            change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":null}"#),
            change(
                3, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1").uppercased())","n":1}"#),
            change(4, "INSERT", "items", id("b2"), #"{"note_id":"\#(id("a1"))"}"#),
            change(5, "INSERT", "tags", "t1", #"{"label":"x"}"#),
            change(6, "INSERT", "prefs", "p1", #"{"value":"x"}"#),
            change(7, "INSERT", "links", id("c1"), #"{"note_id":"\#(id("a1"))"}"#))
        try await upload("bob", change(1, "INSERT", "prefs", "p1", #"{"value":"y"}"#))
        try await execute(
            """
            INSERT INTO s.notes (id, owner, title, "Big") VALUES
                ('\(id("d1"))', 'bob', 'plain', 1.50), ('\(id("d2"))', 'bob', 'plain', 'NaN'),
                ('\(id("d3"))', NULL, 'nobody''s', 1);
            UPDATE s.tags SET label = 'server';
            INSERT INTO s.tags VALUES ('nobody', 'x');
            DELETE FROM s.notes WHERE id = '\(id("d2"))';
            UPDATE s.notes SET at = '2026-01-31 12:00:00.123456+05:30' WHERE owner = 'bob'
            """)
        _ = try await upload("ann", change(8, "DELETE", "links", id("c1"), base: 1))
    }

    /// - Returns: the differences that are there (after the repair, if one is asked for), keys cut short.
    func verify(
        user: String? = nil, repair: Bool = false, acceptsDeletes: Bool = false
    ) async throws -> ([String], Verifier.Summary) {
        let other = try await Self.connect(url)
        defer { other.close() }
        if repair {
            let repairing = Repair(connection: sql, acceptsDeletes: acceptsDeletes)
            _ = try await Verifier(connection: other).run { _ = try await repairing.mend($0) }
        }
        var lines: [String] = []
        let summary = try await Verifier(connection: other, user: user).run { differences in
            lines += differences.map {
                "\($0)".replacing("key=00000000-0000-4000-8000-0000000000", with: "key=")
            }
        }
        return (lines, summary)
    }
}
