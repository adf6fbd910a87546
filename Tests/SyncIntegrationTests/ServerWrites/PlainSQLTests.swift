import Model
import Postgres
import Sidecar
import Testing
@testable import UploadService

@Suite("Plain SQL on registered tables reaches the devices")
struct PlainSQLTests {
    @Test("Insert, update and delete arrive in commit order, dense, as changes of no device")
    func feed() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("a1"))', 'ann', 'one')")
            try await database.execute("UPDATE s.notes SET title = 'two' WHERE id = '\(id("a1"))'")
            try await database.execute("DELETE FROM s.notes WHERE id = '\(id("a1"))'")
            let changes = try await database.download("ann")
            #expect(changes.map(\.sequence) == [1, 2, 3])
            #expect(changes.map(\.operation) == ["INSERT", "UPDATE", "DELETE"])
            #expect(changes.map(\.version) == [1, 2, 3])
            #expect(changes.map(\.source) == ["", "", ""])
            #expect(changes[1].payload?["title"] == "two")
            #expect(changes[2].payload == nil)
        }
    }

    @Test("Values are written as uploads write them: digits exact, base64, RFC 3339, no owner")
    func rendering() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                SET TimeZone = 'Asia/Kolkata';
                INSERT INTO s.notes VALUES ('\(id("a1"))', 'ann', 'ü"\\', 12345678901234567890.1200,
                    decode(repeat('ff', 100), 'hex'), '2026-01-31 12:00:00.5+00', '{"b": [1, 2.50]}')
                """)
            let logged = try await database.sql.run(
                Command(
                    Statement(name: "payload", sql: "SELECT payload::text FROM sync.change_log")))
            let text = try logged.string(0, 0)
            #expect(text.contains(#""big":12345678901234567890.1200"#))
            #expect(text.contains(#""at":"2026-01-31T12:00:00.5+00:00""#))
            #expect(text.contains(#""extra":{"b": [1, 2.50]}"#))
            let payload = try #require(try await database.download("ann").first?.payload)
            #expect(payload["photo"] == String(repeating: "/", count: 133) + "w==")
            #expect(payload["title"] == "ü\"\\")
            #expect(payload["id"] == id("a1"))
            #expect(payload["owner"] == nil)
        }
    }

    @Test("One statement over many users' rows gives each user a dense log of their own")
    func bulk() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner, title)
                SELECT gen_random_uuid(), 'user' || i % 50, 'n' || i FROM generate_series(1, 5000) i;
                UPDATE s.notes SET title = title || '!' WHERE owner <> 'user7';
                """)
            let users = try await database.sql.run(
                Command(
                    Statement(
                        name: "dense",
                        sql: """
                            SELECT s.user_id, s.last_seq, count(*), min(l.seq), max(l.seq)
                            FROM sync.scope s JOIN sync.change_log l USING (scope_id)
                            GROUP BY 1, 2 ORDER BY 1
                            """)))
            #expect(users.rowCount == 50)
            for row in 0..<users.rowCount {
                let wanted: Int64 = try users.string(row, 0) == "user7" ? 100 : 200
                #expect(try users.int64(row, 1) == wanted)
                #expect(try users.int64(row, 2) == wanted)
                #expect(try users.int64(row, 3) == 1)
                #expect(try users.int64(row, 4) == wanted)
            }
        }
    }

    @Test("An update that changes nothing is no change; a new key is a delete and an insert")
    func updates() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                "INSERT INTO s.notes (id, owner, title, extra) VALUES ('\(id("a1"))', 'ann', 'one', '{}')"
            )
            try await database.execute("UPDATE s.notes SET title = title")
            #expect(try await database.feed("ann") == ["I notes a1 1"])
            try await database.execute("UPDATE s.notes SET id = '\(id("a2"))'")
            #expect(
                try await database.feed("ann", after: 1) == ["D notes a1 2", "I notes a2 1"])
        }
    }

    @Test("A row that changes hands is deleted for one user and inserted for the other")
    func owners() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("a1"))', 'ann', 'one')")
            try await database.execute("UPDATE s.notes SET owner = 'bob'")
            #expect(try await database.feed("ann") == ["I notes a1 1", "D notes a1 2"])
            #expect(try await database.feed("bob") == ["I notes a1 1"])
            try await database.execute("UPDATE s.notes SET owner = NULL")
            #expect(try await database.feed("bob", after: 1) == ["D notes a1 2"])
        }
    }

    @Test("A device's edit of the version before a plain SQL write is a conflict with that row")
    func conflict() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#))
            try await database.execute("UPDATE s.notes SET title = 'server'")
            let result = try await database.upload(
                "ann", change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"y"}"#))
            guard case .conflict(let row) = result.outcomes[0] else {
                Issue.record("\(result.outcomes)")
                return
            }
            #expect(row.version == 2)
            #expect(row.device == "")
            #expect(
                String(decoding: row.payload ?? [], as: UTF8.self).contains(#""title":"server""#))
        }
    }

    @Test("The uploads of one device are logged once, as that device's")
    func uploads() async throws {
        try await SyncedDatabase.with { database in
            let result = try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"x"}"#),
                change(2, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"y"}"#),
                change(3, "INSERT", "items", id("b1"), #"{"note_id":"\#(id("a1"))","n":1}"#),
                change(4, "INSERT", "tags", "t1", #"{"label":"x"}"#),
                change(5, "INSERT", "prefs", "p1", #"{"value":"x"}"#))
            #expect(result.highestSequence == 5)
            let deletes = try await database.upload(
                "ann", change(6, "DELETE", "items", id("b1"), base: 1),
                change(7, "DELETE", "notes", id("a1"), base: 2),
                change(8, "DELETE", "tags", "t1", base: 1))
            #expect(deletes.highestSequence == 8)
            let changes = try await database.download("ann")
            #expect(changes.count == 8)
            #expect(changes.allSatisfy { $0.source == "phone" })
        }
    }

    @Test("A role that may not see the sidecar writes as before, and its writes are captured")
    func privileges() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                DO $$ BEGIN CREATE ROLE plain_writer; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                GRANT USAGE ON SCHEMA s TO plain_writer;
                GRANT ALL ON ALL TABLES IN SCHEMA s TO plain_writer;
                SET ROLE plain_writer;
                INSERT INTO s.notes (id, owner, title) VALUES ('\(id("a1"))', 'ann', 'one');
                """)
            await #expect(throws: PostgresError.self) {
                try await database.execute("SELECT * FROM sync.scope")
            }
            #expect(try await database.feed("ann") == ["I notes a1 1"])
        }
    }

    @Test("A transaction that rolls back leaves no trace, and no hole in the sequence")
    func rollback() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                BEGIN; INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann'); ROLLBACK;
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a2"))', 'ann');
                """)
            let changes = try await database.download("ann")
            #expect(changes.map(\.sequence) == [1])
            #expect(changes.first?.key == id("a2"))
        }
    }

    @Test(
        "In a table without owners the first user whose change made a key owns it, until it is gone"
    )
    func ownerless() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "tags", "t1", #"{"label":"x"}"#))
            try await database.execute(
                "INSERT INTO s.tags VALUES ('t2', 'nobody'); UPDATE s.tags SET label = 'server'")
            #expect(try await database.feed("ann") == ["I tags t1 1", "U tags t1 2"])
            let taken = try await database.upload(
                "bob", change(1, "INSERT", "tags", "t1", #"{"label":"mine"}"#))
            guard case .invalid(let refusal) = taken.outcomes[0] else {
                Issue.record("\(taken.outcomes)")
                return
            }
            #expect(refusal.reason == .keyTaken)
            try await database.execute("DELETE FROM s.tags WHERE code = 't1'")
            #expect(try await database.feed("ann", after: 2) == ["D tags t1 3"])
            let free = try await database.upload(
                "bob", change(2, "INSERT", "tags", "t1", #"{"label":"mine"}"#))
            #expect(free.outcomes == [.applied(version: 1)])
            try await database.execute("UPDATE s.tags SET label = 'bob''s'  WHERE code = 't1'")
            #expect(try await database.feed("bob") == ["I tags t1 1", "U tags t1 2"])
            #expect(try await database.feed("ann", after: 3) == [])
        }
    }

    @Test("H13: a table is captured from its registration on, and no longer when it is removed")
    func registration() async throws {
        try await SyncedDatabase.with { database in
            let left = SyncedDatabase.registrations.filter { $0.name.table != "notes" }
            try await Registration.apply(left, on: database.sql)
            try await database.execute(
                "INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann')")
            #expect(try await database.feed("ann") == [])
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            try await database.execute(
                """
                ALTER TABLE s.notes ADD COLUMN colour text;
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a2"))', 'ann')
                """)
            #expect(try await database.feed("ann") == ["I notes a2 1"])
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            try await database.execute("UPDATE s.notes SET colour = 'red' WHERE id = '\(id("a2"))'")
            #expect(try await database.download("ann").last?.payload?["colour"] == "red")
        }
    }
}
