import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("What an ALTER TABLE gives to rows reaches devices with oversync migrate")
struct AlteredRowsTests {
    /// What is done to `s.notes`; what devices must be shown of the row a1 then, if they are.
    static let alterations: [(sql: String, shows: [String: String]?)] = [
        ("ALTER TABLE s.notes ADD colour text DEFAULT 'red'", ["colour": "red"]),
        (
            "ALTER TABLE s.notes ADD \"Size\" numeric(5,2) NOT NULL DEFAULT 1.5, ADD n int",
            ["size": "1.5"]
        ),
        (
            "ALTER TABLE s.notes ADD made timestamptz DEFAULT '2026-01-31 12:00+00'",
            ["made": "2026-01-31T12:00:00+00:00"]
        ),
        (
            "ALTER TABLE s.notes ADD loud text GENERATED ALWAYS AS (title || '!') STORED",
            ["loud": "one!"]
        ),
        ("ALTER TABLE s.notes ADD thumb bytea DEFAULT '\\xff'", ["thumb": "/w=="]),
        ("ALTER TABLE s.notes RENAME title TO name", ["name": "one"]),
        ("ALTER TABLE s.notes ALTER title TYPE varchar(9) USING upper(title)", ["title": "ONE"]),
        ("ALTER TABLE s.notes ALTER title TYPE bytea USING title::bytea", ["title": "b25l"]),
        ("ALTER TABLE s.notes ADD empty text", nil),
        ("ALTER TABLE s.notes DROP photo", nil),
        ("ALTER TABLE s.notes ALTER title TYPE varchar(9)", nil),
        ("ALTER TABLE s.notes ALTER title SET DEFAULT 'later'", nil),
    ]

    @Test("Each row is sent once, whole, as a change of the server", arguments: alterations.indices)
    func sent(_ index: Int) async throws {
        let alteration = Self.alterations[index]
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"one"}"#))
            try await database.execute(
                "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("a2"))', 'bob', 'two')")
            try await database.execute(alteration.sql)
            #expect(try await database.feed("ann") == ["I notes a1 1"])
            for _ in 1...2 {
                try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            }
            let news = try await database.download("ann", after: 1)
            #expect(try await database.feed("bob", after: 1).count == news.count)
            #expect(try await database.verify().0 == [])
            guard let shows = alteration.shows else {
                #expect(news == [])
                return
            }
            #expect(news.map(\.operation) == ["UPDATE"])
            #expect(news.first?.source == "")
            let payload = try #require(news.first?.payload)
            for (name, value) in shows { #expect(payload[name] == value) }
            #expect(payload["id"] == id("a1"))
        }
    }

    @Test("Rows without an owner column go to whom they belong, deleted and nobody's to nobody")
    func withoutOwner() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "tags", "mine", "{}"),
                change(2, "INSERT", "tags", "gone", "{}"))
            try await database.upload("ann", change(3, "DELETE", "tags", "gone", base: 1))
            try await database.execute(
                """
                INSERT INTO s.tags VALUES ('nobodys', 'x');
                ALTER TABLE s.tags ADD colour text DEFAULT 'red'
                """)
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(try await database.feed("ann", after: 3) == ["U tags ne 2"])
            #expect(try await database.download("ann").last?.payload?["colour"] == "red")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "Rows of partitions, more than one batch; those written meanwhile are not sent again"
    )
    func manyRows() async throws {
        let rows = Repair.batchRows * 2 + 1
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.logs (id uuid NOT NULL, owner text NOT NULL, PRIMARY KEY (owner, id))
                    PARTITION BY HASH (owner);
                CREATE TABLE s.logs_0 PARTITION OF s.logs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                CREATE TABLE s.logs_1 PARTITION OF s.logs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
                """, registered: "  - {table: s.logs, owner: owner, key: id}"
        ) { database in
            try await database.execute(
                """
                INSERT INTO s.logs SELECT gen_random_uuid(), 'user' || i % 3
                    FROM generate_series(1, \(rows)) AS i;
                ALTER TABLE s.logs ADD colour text DEFAULT 'red';
                INSERT INTO s.logs SELECT gen_random_uuid(), 'user0'
                """)
            let more = try RegistrationFile.parse(
                "tables:\n  - {table: s.logs, owner: owner, key: id}")
            try await Registration.apply(SyncedDatabase.registrations + more, on: database.sql)
            #expect(
                try await database.value("SELECT count(*)::text FROM sync.change_log")
                    == "\(2 * rows + 1)")
            #expect(
                try await database.value(
                    "SELECT count(*)::text FROM sync.sync_state WHERE payload ->> 'colour' = 'red'")
                    == "\(rows + 1)")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A run that fails after it is run again, and sends nothing twice")
    func interrupted() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann');
                ALTER TABLE s.notes ADD colour text DEFAULT 'red';
                ALTER TABLE s.notes DISABLE TRIGGER oversync_capture_insert
                """)
            // Keeps migrate from putting triggers on the table, after the rows were sent.
            let holder = try await SyncedDatabase.connect(database.url)
            defer { holder.close() }
            try await holder.execute(script: "BEGIN; LOCK s.notes IN ROW EXCLUSIVE MODE")
            await #expect(throws: TableInUse.self) {
                try await Registration.apply(
                    SyncedDatabase.registrations, on: database.sql, lockTimeout: .milliseconds(50))
            }
            #expect(try await database.feed("ann") == ["I notes a1 1", "U notes a1 2"])
            try await holder.execute(script: "ROLLBACK")
            try await Registration.apply(SyncedDatabase.registrations, on: database.sql)
            #expect(try await database.feed("ann", after: 2) == [])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A plan mentions it and sends nothing")
    func rehearsed() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner) VALUES ('\(id("a1"))', 'ann');
                ALTER TABLE s.notes ADD colour text DEFAULT 'red'
                """)
            let plan = try await MigrationRun.rehearse(on: database.sql) { run in
                try await Registration.apply(SyncedDatabase.registrations, in: run, by: nil)
            }
            #expect(plan.description.contains("-- Sends the rows of s.notes that ALTER TABLE gave"))
            #expect(try await database.feed("ann") == ["I notes a1 1"])
        }
    }
}
