import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Testing

@testable import UploadService

/// Uploads of one user that share a transaction.
@Suite("Groups of uploads") struct GroupTests {
    private static func insertion(_ number: Int, of device: String) -> SyncedDatabase.Member {
        .init(device: device, changes: change(number, "INSERT", "notes", id("a\(number)"), "{}"))
    }

    /// ann, whose log is known.
    private static func withAnn(
        tables: String = "", registered yaml: String = "", settings: [String: String] = [:],
        _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, settings: settings) {
            let note = change(1, "INSERT", "notes", id("a0"), "{}")
            try await $0.upload("ann", device: "first", note)
            try await body($0)
        }
    }

    /// Transactions that have added to the log.
    private static let transactions =
        "SELECT count(DISTINCT l.xmin::text)::text FROM sync.change_log l"

    private static func expectLeftOut(
        _ devices: Set<String>, of all: [String], _ database: SyncedDatabase
    ) throws {
        for device in all {
            let upload = try database.executor.queued(
                .init(string: "{}"), from: CallerIdentity(user: "ann", device: device), .init(),
                deadline: .now + .seconds(30))
            #expect(
                database.executor.groups.admits(upload) == !devices.contains(device), "\(device)")
        }
    }

    @Test("Uploads that wait for their user's log share one transaction, in order of arrival")
    func shared() async throws {
        try await Self.withAnn(settings: ["OVERSYNC_UPLOADS_PER_GROUP": "4"]) { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...6 {
                    group.addTask {
                        let member = Self.insertion(number, of: "d\(number)")
                        let answer = try await database.outcomes(
                            "ann", device: member.device, member.changes)
                        #expect(answer == ["applied 1"])
                    }
                    // The first is at the database; the next four prepare, the last does not.
                    if number == 1 { try await database.expectWaiting(1) }
                    while database.executor.queue.waiting != number - 1
                        || database.executor.queue.prepared != min(number - 1, 4)
                    {
                        await Task.yield()
                    }
                }
                try await other.execute(script: "ROLLBACK")
                try await group.waitForAll()
            }
            // The first of all, the one that held the turn, four together, and the last.
            #expect(try await database.value(Self.transactions) == "4")
            #expect(database.executor.groups.writtenGroups == 1)
            let order = try await database.value(
                """
                SELECT string_agg(d.device, ',' ORDER BY l.seq)
                FROM sync.change_log l JOIN sync.source d USING (scope_id, source_no)
                """)
            #expect(order == "first,d1,d2,d3,d4,d5,d6")
            // The group goes when all of it is answered.
            while database.executor.queue.bytes > 0 { await Task.yield() }
        }
    }

    @Test("A group of one has each upload in a transaction of its own")
    func off() async throws {
        try await Self.withAnn(settings: ["OVERSYNC_UPLOADS_PER_GROUP": "1"]) { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...4 {
                    group.addTask {
                        try await database.upload(
                            "ann", device: "d\(number)", Self.insertion(number, of: "").changes)
                    }
                }
                while database.executor.queue.waiting != 3 { await Task.yield() }
                try await database.expectWaiting(1)
                try await other.execute(script: "ROLLBACK")
                try await group.waitForAll()
            }
            #expect(try await database.value(Self.transactions) == "5")
            #expect(database.executor.groups.writtenGroups == 0)
        }
    }

    @Test("P2: the same upload twice in a group, and the group once more after a restart")
    func repeats() async throws {
        try await Self.withAnn { database in
            let group = [
                Self.insertion(1, of: "one"), Self.insertion(2, of: "two"),
                Self.insertion(1, of: "one"), Self.insertion(3, of: "one"),
            ]
            #expect(
                try await database.lines("ann", group)
                    == Array(repeating: ["applied 1"], count: 4))
            #expect(database.executor.groups.writtenGroups == 1)
            // The answers are lost, and a service that knows nothing of them gets all again.
            let restarted = try SyncedDatabase(
                database.url, database.sql, reaching: PostgresConfiguration(url: database.url))
            try await restarted.upload("ann", device: "first", "")
            let again = try await restarted.together("ann", group).map { try $0.get() }
            #expect(again.allSatisfy { $0.outcomes.map(\.line) == ["applied 1"] })
            #expect(again.map(\.duplicates) == [1, 1, 1, 1])
            // Nobody may have been told of them.
            #expect(again.allSatisfy { $0.mayBeNews })
            #expect(again.allSatisfy { $0.sequences == nil && $0.highestSequence == 4 })
            #expect(restarted.executor.groups.writtenGroups == 1)
            #expect(try await database.feed("ann").count == 4)
        }
    }

    @Test("P5: a row that PostgreSQL refuses is refused alone; its device is left out of groups")
    func refused() async throws {
        try await Self.withAnn { database in
            let group = [
                Self.insertion(1, of: "one"),
                .init(
                    device: "two",
                    changes: change(2, "INSERT", "items", id("2"), #"{"n":99999999999}"#)),
                Self.insertion(3, of: "three"),
            ]
            #expect(
                try await database.lines("ann", group)
                    == [["applied 1"], ["materialize_error 22003"], ["applied 1"]])
            #expect(database.executor.groups.brokenGroups == 1)
            try Self.expectLeftOut(["two"], of: ["one", "two", "three"], database)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("P5: plain SQL holds a row: it alone is postponed; its device is left out of groups")
    func locked() async throws {
        // On a busy machine the attempts at the row take longer than others usually wait.
        let settings = ["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "20000"]
        try await Self.withAnn(settings: settings) { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM s.notes WHERE id = '\(id("a0"))' FOR UPDATE")
            let group = [
                Self.insertion(1, of: "one"),
                .init(
                    device: "two",
                    changes: change(
                        2, "UPDATE", "notes", id("a0"), base: 1, #"{"title":"x"}"#)),
                Self.insertion(3, of: "three"),
            ]
            #expect(
                try await database.lines("ann", group)
                    == [["applied 1"], ["materialize_error 55P03"], ["applied 1"]])
            try Self.expectLeftOut(["two"], of: ["one", "two", "three"], database)
            try await other.execute(script: "ROLLBACK")
            #expect(try await database.lines("ann", group)[1] == ["applied 2"])
        }
    }

    @Test("A device whose row a trigger asks to try again each time is left out of groups")
    func triedAgain() async throws {
        let tables = """
            CREATE TABLE s.again (id uuid PRIMARY KEY, owner text);
            CREATE FUNCTION s.again() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$;
            CREATE TRIGGER again BEFORE INSERT ON s.again FOR EACH ROW EXECUTE FUNCTION s.again();
            """
        let settings = ["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "20000"]
        try await Self.withAnn(
            tables: tables, registered: "  - {table: s.again, owner: owner}", settings: settings
        ) { database in
            let group: [SyncedDatabase.Member] = [
                Self.insertion(1, of: "one"),
                .init(device: "two", changes: change(1, "INSERT", "again", id("f1"), "{}")),
                Self.insertion(3, of: "three"),
            ]
            #expect(
                try await database.lines("ann", group)
                    == [["applied 1"], ["materialize_error 40001"], ["applied 1"]])
            try Self.expectLeftOut(["two"], of: ["one", "two", "three"], database)
        }
    }

    @Test("A row that is too slow in a group has all the time of an upload by itself")
    func slow() async throws {
        let tables = """
            CREATE TABLE s.slow (id uuid PRIMARY KEY, owner text, n int);
            CREATE FUNCTION s.wait() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;
            CREATE TRIGGER wait AFTER INSERT ON s.slow FOR EACH ROW WHEN (NEW.n = 1)
                EXECUTE FUNCTION s.wait();
            """
        try await Self.withAnn(tables: tables, registered: "  - {table: s.slow, owner: owner}") {
            database in
            let group = [
                Self.insertion(1, of: "one"),
                .init(
                    device: "two", changes: change(2, "INSERT", "slow", id("2"), #"{"n":1}"#)),
                Self.insertion(3, of: "three"),
            ]
            #expect(
                try await database.lines("ann", group)
                    == Array(repeating: ["applied 1"], count: 3))
            #expect(database.executor.groups.brokenGroups == 1)
            try Self.expectLeftOut(["two"], of: ["one", "two", "three"], database)
        }
    }

    @Test("Rows that trade a unique value between uploads of a group come to what they come alone")
    func uniqueValues() async throws {
        let tables = "CREATE TABLE s.seats (id uuid PRIMARY KEY, owner text, n int UNIQUE);"
        try await Self.withAnn(tables: tables, registered: "  - {table: s.seats, owner: owner}") {
            database in
            func seat(_ number: Int, _ row: String, base: Int = 0, _ n: Int) -> String {
                change(
                    number, base == 0 ? "INSERT" : "UPDATE", "seats", id(row), base: base,
                    #"{"n":\#(n)}"#)
            }
            try await database.upload("ann", device: "first", seat(2, "1", 7))
            let group: [SyncedDatabase.Member] = [
                .init(device: "one", changes: seat(1, "1", base: 1, 8)),
                .init(device: "two", changes: seat(1, "2", 7)),
                .init(device: "three", changes: seat(1, "3", 8)),
            ]
            #expect(
                try await database.lines("ann", group)
                    == [["applied 2"], ["applied 1"], ["materialize_error 23505"]])
            try Self.expectLeftOut(["three"], of: ["one", "two", "three"], database)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Changes that a trigger makes stand behind those of the upload that caused them")
    func caused() async throws {
        let tables = """
            CREATE TABLE s.made (id uuid PRIMARY KEY, owner text, n int);
            CREATE FUNCTION s.make() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN
                INSERT INTO s.notes (id, owner) VALUES (gen_random_uuid(), NEW.owner); RETURN NULL;
                END $$;
            CREATE TRIGGER make AFTER INSERT ON s.made FOR EACH ROW EXECUTE FUNCTION s.make();
            """
        try await Self.withAnn(tables: tables, registered: "  - {table: s.made, owner: owner}") {
            database in
            func made(_ device: String, _ row: Int) -> SyncedDatabase.Member {
                .init(device: device, changes: change(row, "INSERT", "made", id("\(row)"), "{}"))
            }
            let results = try await database.together(
                "ann", [made("one", 1), made("two", 2), Self.insertion(3, of: "three")]
            ).map { try $0.get() }
            #expect(results.map(\.sequences) == [2...2, 4...4, 6...6])
            #expect(results.map(\.highestSequence) == [3, 5, 6])
            #expect(database.executor.groups.writtenGroups == 1)
            #expect(
                try await database.feed("ann").map { $0.prefix(7) }
                    == ["I notes", "I made ", "I notes", "I made ", "I notes", "I notes"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("P6, P7: a scope that is another user's by now, and devices that may not upload")
    func refusedDevices() async throws {
        try await Self.withAnn { database in
            try await database.upload("bob", change(1, "INSERT", "notes", id("b0"), "{}"))
            let other = change(9, "INSERT", "prefs", "k", "{}")
            try await database.upload("ann", device: "lost", other)
            try await database.execute(
                "UPDATE sync.source SET revoked_at = now() WHERE device = 'lost'")
            let bobs = try #require(database.executor.scopes.scope(of: "bob"))
            var old = Self.insertion(2, of: "old")
            old.epoch = "00000000-0000-0000-0000-000000000000"
            let group = [Self.insertion(1, of: "one"), Self.insertion(5, of: "lost"), old]
            for isStale in [false, true] {
                let stale = NamedScope(id: bobs.id, user: "ann")
                if isStale { database.executor.scopes.remember(stale) }
                let outcomes = try await database.together("ann", group)
                #expect(try outcomes[0].get().outcomes.map(\.line) == ["applied 1"])
                #expect(throws: RPCFailure.deviceRevoked) { try outcomes[1].get() }
                #expect(throws: RPCFailure.epochChanged) { try outcomes[2].get() }
            }
            #expect(database.executor.groups.writtenGroups == 1)
            #expect(database.executor.groups.brokenGroups == 1)
            #expect(try await database.feed("bob") == ["I notes b0 1"])
            // Who may not upload, or has nothing to add, leaves nothing.
            let devices = try await database.value(
                """
                SELECT string_agg(device, ',' ORDER BY source_no)
                FROM sync.source JOIN sync.scope USING (scope_id) WHERE user_id = 'ann'
                """)
            #expect(devices == "first,lost,one")
        }
    }

    @Test("Each upload has its own transaction if one of them has little time left")
    func deadline() async throws {
        try await Self.withAnn { database in
            var late = Self.insertion(2, of: "two")
            late.patience = .milliseconds(900)
            let group = [Self.insertion(1, of: "one"), late, Self.insertion(3, of: "three")]
            let outcomes = try await database.together("ann", group)
            for place in [0, 2] {
                let result = try outcomes[place].get()
                #expect(result.outcomes.map(\.line) == ["applied 1"])
            }
            #expect(database.executor.groups.writtenGroups == 0)
            // Nobody is to blame.
            try Self.expectLeftOut([], of: ["one", "two", "three"], database)
        }
    }

    @Test("Uploads that need more than others are not offered to groups")
    func special() async throws {
        try await Self.withAnn { database in
            func isOffered(_ user: String, _ options: UploadOptions) async throws -> Bool {
                let body = #"{"changes":[\#(Self.insertion(1, of: "one").changes)]}"#
                let upload = try database.executor.queued(
                    ByteBuffer(string: body), from: CallerIdentity(user: user, device: "one"),
                    options, deadline: .now + .seconds(30))
                let schema = try await database.executor.preparedStatements().schema
                let batch = try upload.reading.batch(for: schema)
                return database.executor.load(of: upload, batch) != nil
            }
            let plain = try await isOffered("ann", UploadOptions())
            let ofEpoch = try await isOffered("ann", UploadOptions(epoch: "e"))
            let atomic = try await isOffered("ann", UploadOptions(isAtomic: true))
            // There is no log to lock.
            let ofNewUser = try await isOffered("eva", UploadOptions())
            #expect(plain && ofEpoch)
            #expect(!atomic && !ofNewUser)
        }
    }
}
