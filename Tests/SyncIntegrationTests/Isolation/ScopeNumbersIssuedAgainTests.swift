@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing
@testable import UploadService

/// A service remembers the numbers of scopes, and a restore gives them to others.
///
/// ```
/// service   ann is scope 1 ───────────────────────── asks for ann: scope 1?  scope 2
/// database  1 ann, 2 bob ── restored: 1 bob, 2 ann ──────────── no, bob's ─┘  └─ ann's log
/// ```
@Suite("Numbers of scopes that were issued again")
struct ScopeNumbersIssuedAgainTests {
    private static let mark = "of-bob"

    /// ann and bob, whom all parts of both services have met.
    private static func withTwo(
        _ body: (SyncedDatabase, ReadBootstrap) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            for number in 1...2 {
                try await database.upload(
                    "ann", change(number, "INSERT", "notes", id("a\(number)"), "{}"))
            }
            for number in 1...4 {
                let payload = #"{"title":"\#(mark)"}"#
                try await database.upload(
                    "bob", change(number, "INSERT", "notes", id("b\(number)"), payload))
            }
            // Of a table whose owners the sidecar keeps.
            try await database.upload("ann", change(3, "INSERT", "tags", "ann's", "{}"))
            try await database.upload(
                "bob", change(5, "INSERT", "tags", "bob's", #"{"label":"\#(mark)"}"#))
            let bootstrap = ReadBootstrap(pool: database.downloadPool)
            for user in ["ann", "bob"] {
                _ = try await database.pull(user)
                _ = try await Self.standing(user, bootstrap)
            }
            await database.heads.poll()
            try await body(database, bootstrap)
        }
    }

    private static func standing(
        _ user: String, _ bootstrap: ReadBootstrap
    ) async throws -> ReadBootstrapReply {
        try await bootstrap.read(UserID(user), DeviceID("phone"), .now + .seconds(30))
    }

    /// Everything as it was, but each user's log under the other's number.
    private static func swap(_ database: SyncedDatabase) async throws {
        let sum = "(SELECT sum(scope_id) FROM kept)"
        let tables = ["source", "change_log", "row_state", "key_owner"].map { table in
            """
            UPDATE sync.\(table) SET scope_id = scope_id - \(sum);
            UPDATE sync.\(table) SET scope_id = -scope_id;
            """
        }
        try await database.execute(
            """
            BEGIN;
            CREATE TEMPORARY TABLE kept AS SELECT * FROM sync.scope;
            DELETE FROM sync.scope;
            INSERT INTO sync.scope OVERRIDING SYSTEM VALUE
            SELECT \(sum) - scope_id, user_id, last_seq, floor_seq, compacted_seq, compacted_count
            FROM kept;
            \(tables.joined(separator: "\n"))
            DROP TABLE kept;
            COMMIT;
            """)
    }

    /// All there is of bob, whatever his scope's number.
    private static func bobs(_ database: SyncedDatabase) async throws -> [String?] {
        var all: [String?] = []
        for (table, columns) in [
            ("scope", "user_id, last_seq, floor_seq"), ("source", "source_no, device"),
            ("change_log", "seq, key, version, payload::text, source_no"),
            ("row_state", "key, version, seq, deleted"), ("key_owner", "key"),
        ] {
            all.append(
                try await database.value(
                    """
                    SELECT string_agg(r::text, ';' ORDER BY r::text) FROM (
                        SELECT \(columns) FROM sync.\(table)
                        WHERE scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = 'bob')
                    ) AS r
                    """))
        }
        return all
    }

    @Test("A page is of the user's own log, in both formats")
    func pages() async throws {
        try await Self.withTwo { database, _ in
            let before = try await database.rawPage("ann")
            #expect(before.contains("ann's"))
            try await Self.swap(database)
            #expect(try await database.rawPage("ann") == before)
            try await Self.swap(database)
            let reply = try await database.pull("ann", device: "new") { $0.asProtobuf = true }
            #expect(reply.message.rows == 3)
            #expect(!String(buffer: reply.body).contains(Self.mark))
        }
    }

    @Test("A device's standing is that of its own user")
    func bootstrap() async throws {
        try await Self.withTwo { database, bootstrap in
            let (ann, bob) = (
                try await Self.standing("ann", bootstrap), try await Self.standing("bob", bootstrap)
            )
            #expect(ann.nextChangeID == 4)
            #expect(bob.nextChangeID == 6)
            try await Self.swap(database)
            #expect(try await Self.standing("ann", bootstrap) == ann)
            #expect(try await Self.standing("bob", bootstrap) == bob)
        }
    }

    @Test("The last sequences that devices wait for are those of their own users")
    func heads() async throws {
        try await Self.withTwo { database, _ in
            let device = DeviceID("phone")
            try await Self.swap(database)
            await database.heads.poll()
            #expect(database.heads.known(UserID("ann"), for: device)?.head == 3)
            #expect(database.heads.known(UserID("bob"), for: device)?.head == 5)
            let reading = try await database.reader.readScope(
                UserID("ann"), device, deadline: .now + .seconds(30))
            #expect(reading.state.head == 3)
        }
    }

    @Test("An upload judges and writes in the user's own log alone")
    func uploads() async throws {
        try await Self.withTwo { database, _ in
            let before = try await Self.bobs(database)
            #expect(before.allSatisfy { $0?.isEmpty == false })
            try await Self.swap(database)
            #expect(try await Self.bobs(database) == before)
            // A repeat, an edit, a row of bob's, a tag of bob's, and a row that PostgreSQL refuses,
            // so that the batch is tried in parts.
            let outcomes = try await database.outcomes(
                "ann", change(2, "INSERT", "notes", id("a2"), "{}"),
                change(4, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"mine"}"#),
                change(5, "UPDATE", "tags", "ann's", base: 1, #"{"label":"mine"}"#),
                change(6, "UPDATE", "notes", id("b1"), base: 1, #"{"title":"mine"}"#),
                change(7, "UPDATE", "tags", "bob's", base: 1, #"{"label":"mine"}"#),
                change(8, "INSERT", "items", id("c1"), #"{"n":"no number"}"#))
            #expect(Array(outcomes.prefix(3)) == ["applied 1", "applied 2", "applied 2"])
            #expect(!outcomes.dropFirst(3).contains { $0.hasPrefix("applied") })
            #expect(try await Self.bobs(database) == before)
            #expect(try await database.feed("ann").count == 5)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A user whose scope is gone reads an empty log, and an upload begins a new one")
    func gone() async throws {
        try await Self.withTwo { database, bootstrap in
            let before = try await Self.bobs(database)
            try await database.execute(
                """
                DELETE FROM s.notes WHERE owner = 'ann'; DELETE FROM s.tags WHERE code = 'ann''s';
                WITH gone AS (DELETE FROM sync.scope WHERE user_id = 'ann' RETURNING scope_id),
                    log AS (DELETE FROM sync.change_log USING gone
                        WHERE change_log.scope_id = gone.scope_id),
                    states AS (DELETE FROM sync.row_state USING gone
                        WHERE row_state.scope_id = gone.scope_id)
                DELETE FROM sync.source USING gone WHERE source.scope_id = gone.scope_id;
                """)
            let none = Read(next: 0, until: 0, more: false, keys: [])
            for _ in 0..<2 { #expect(try await database.page("ann") == none) }
            #expect(try await Self.standing("ann", bootstrap).nextChangeID == 1)
            let outcomes = try await database.outcomes(
                "ann", change(1, "INSERT", "notes", id("a9"), "{}"))
            #expect(outcomes == ["applied 1"])
            #expect(
                try await database.page("ann")
                    == Read(next: 1, until: 1, more: false, keys: [id("a9")]))
            #expect(try await Self.standing("ann", bootstrap).nextChangeID == 2)
            #expect(try await Self.bobs(database) == before)
        }
    }
}
