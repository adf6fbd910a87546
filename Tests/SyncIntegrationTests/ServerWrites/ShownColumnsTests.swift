import Model
import Postgres
@testable import Sidecar
import Testing

@Suite("A column that no longer stays on the server, and writes while its rows are sent")
struct ShownColumnsTests {
    private static let tables = """
        CREATE TABLE s.orders (id uuid PRIMARY KEY, owner text, body text,
            "Secret" text DEFAULT 'made', margin numeric DEFAULT 7);
        """

    private static func registrations(_ options: String) throws -> [TableRegistration] {
        SyncedDatabase.registrations
            + (try RegistrationFile.parse("tables:\n  - {table: s.orders, owner: owner\(options)}"))
    }

    /// ann and bob have a row each. Devices have only its body.
    private static func with(
        _ body: (SyncedDatabase, _ plain: PostgresConnection, _ other: PostgresConnection)
            async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(
            tables: tables,
            registered: "  - {table: s.orders, owner: owner, except: [Secret, margin]}"
        ) { database in
            for (user, key) in [("ann", "a1"), ("bob", "b1")] {
                try await database.upload(
                    user, change(1, "INSERT", "orders", id(key), #"{"body":"x"}"#))
            }
            let plain = try await SyncedDatabase.connect(database.url)
            let other = try await SyncedDatabase.connect(database.url)
            defer {
                plain.close()
                other.close()
            }
            try await body(database, plain, other)
        }
    }

    private static func show(
        _ options: String, _ database: SyncedDatabase, lockTimeout: Duration = .seconds(30)
    ) async throws {
        try await Registration.apply(
            registrations(options), on: database.sql, lockTimeout: lockTimeout)
        try await database.source.refresh()
    }

    private static func secret(_ user: String, _ database: SyncedDatabase) async throws -> String? {
        try await database.download(user).last?.payload?["secret"]
    }

    private static func excepted(_ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            "SELECT array_to_string(except_columns, ' ') FROM sync.catalog "
                + "WHERE table_name = 'orders'")
    }

    /// Keeps the rows of a user from being sent.
    private static let holdAnn = "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE"

    /// What plain SQL does to a row that is not sent, as it came later.
    private static let writes = """
        INSERT INTO s.orders (id, owner, body) VALUES ('\(id("c1"))', 'carl', 'y');
        INSERT INTO s.orders (id, owner, body) VALUES ('\(id("d1"))', 'dora', 'z');
        UPDATE s.orders SET "Secret" = 'later' WHERE owner = 'dora'
        """

    // migrate   shows the column, sends the rows: waits for ann's log              goes on
    // holder    BEGIN, locks ann's log                                  ROLLBACK
    // plain                                        writes carl's row, dora's
    @Test("What is written meanwhile has the column", arguments: [", except: [margin]", ""])
    func meanwhile(_ options: String) async throws {
        try await Self.with { database, plain, holder in
            try await holder.execute(script: Self.holdAnn)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Self.show(options, database) }
                try await database.expectWaiting(1, asking: plain)
                try await plain.execute(script: Self.writes)
                try await holder.execute(script: "ROLLBACK")
                try await group.waitForAll()
            }
            for (user, secret) in [
                ("ann", "made"), ("bob", "made"), ("carl", "made"), ("dora", "later"),
            ] {
                #expect(try await Self.secret(user, database) == secret, "\(user)")
                let margin = try await database.download(user).last?.payload?["margin"]
                #expect(margin == (options.isEmpty ? "7" : nil), "\(user)")
            }
            #expect(try await database.verify().0 == [])
            #expect(database.source.flaws == [])
        }
    }

    @Test("A run that is interrupted is taken up by the next; writes in between have the column")
    func interrupted() async throws {
        try await Self.with { database, plain, holder in
            try await holder.execute(script: Self.holdAnn)
            try await database.execute("SET lock_timeout = '100ms'")
            await #expect(throws: PostgresError.self) {
                try await Self.show(", except: [margin]", database)
            }
            try await database.execute("RESET lock_timeout")
            try await holder.execute(script: "ROLLBACK")
            #expect(try await Self.excepted(database) == "margin")
            #expect(try await Self.secret("ann", database) == nil)
            // A column that came in between is sent as well.
            try await plain.execute(
                script: "\(Self.writes); ALTER TABLE s.orders ADD colour text DEFAULT 'red'")
            #expect(try await Self.secret("carl", database) == "made")
            #expect(try await Self.secret("dora", database) == "later")
            try await Self.show(", except: [margin]", database)
            for (user, secret) in [
                ("ann", "made"), ("bob", "made"), ("carl", "made"), ("dora", "later"),
            ] {
                #expect(try await Self.secret(user, database) == secret, "\(user)")
                let colour = try await database.download(user).last?.payload?["colour"]
                #expect(colour == "red", "\(user)")
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A column that ALTER TABLE has added before is sent in the same run")
    func altered() async throws {
        try await Self.with { database, _, _ in
            try await database.execute("ALTER TABLE s.orders ADD colour text DEFAULT 'red'")
            try await Self.show(", except: [margin]", database)
            for user in ["ann", "bob"] {
                let payload = try #require(try await database.download(user).last?.payload)
                #expect(payload["colour"] == "red" && payload["secret"] == "made", "\(user)")
            }
            #expect(try await database.verify().0 == [])
        }
    }

    // writer    BEGIN, writes only the column                        COMMIT
    // migrate                                  waits for the table          shows the column
    @Test("A transaction that wrote before, uncaptured, is awaited; one that does not end is named")
    func writer() async throws {
        try await Self.with { database, plain, writer in
            try await writer.execute(
                script: "BEGIN; UPDATE s.orders SET \"Secret\" = 'early' WHERE owner = 'ann'")
            await #expect(throws: TableInUse.self) {
                try await Self.show(", except: [margin]", database, lockTimeout: .milliseconds(100))
            }
            #expect(try await Self.excepted(database) == "Secret margin")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Self.show(", except: [margin]", database) }
                try await database.expectWaiting(1, asking: plain)
                try await writer.execute(script: "COMMIT")
                try await group.waitForAll()
            }
            #expect(try await Self.secret("ann", database) == "early")
            #expect(try await database.verify().0 == [])
        }
    }
}
