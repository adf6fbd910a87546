import Model
import Postgres
import Protos
import RPC
import Sidecar
import Testing

@testable import UploadService

@Suite("What an upload and a download may cost the database", .serialized)
struct CostTests {
    @Test("H10: an upload takes two round trips, a page one, and an idle poll none")
    func roundTrips() async throws {
        try await SyncedDatabase.with { direct in
            try await direct.throughProxy { proxy, database in
                func batch(_ first: Int) -> String {
                    (first..<first + 100).map { number in
                        let key = id("\(number + 1000)")
                        return number % 2 == 0
                            ? change(number, "INSERT", "notes", key, #"{"title":"x"}"#)
                            : change(
                                number, "INSERT", "items", key,
                                #"{"note_id":"\#(id("\(number + 999)"))"}"#)
                    }.joined(separator: ",")
                }
                // The catalog is read, the connections are made, the user and the device registered.
                try await database.upload("ann", batch(0))
                _ = try await database.pull("ann")

                let upload = try await proxy.roundTrips {
                    let answer = try await database.outcomes("ann", batch(100))
                    #expect(answer == Array(repeating: "applied 1", count: 100))
                }
                #expect(upload == 2)
                let page = try await proxy.roundTrips {
                    let answer = try await database.pull("ann") { $0.includeSelf = true }
                    #expect(answer.message.rows == 200)
                }
                #expect(page == 1)
                let idle = try await proxy.roundTrips {
                    let answer = try await database.pull("ann") { $0.after = 200 }
                    #expect(answer.message.rows == 0)
                }
                #expect(idle == 0)
            }
        }
    }

    @Test("H10: uploads that share a transaction and do not meet take two round trips together")
    func roundTripsOfGroup() async throws {
        try await SyncedDatabase.with { direct in
            try await direct.throughProxy { proxy, database in
                func member(_ number: Int, _ device: Int) -> SyncedDatabase.Member {
                    .init(
                        device: "d\(device)",
                        changes: change(number, "INSERT", "notes", id("\(number)"), "{}"))
                }
                _ = try await database.upload("ann", change(1, "INSERT", "prefs", "k", "{}"))
                // The devices are registered.
                _ = try await database.lines("ann", (1...5).map { member($0, $0) })
                let together = try await proxy.roundTrips {
                    let answers = try await database.lines(
                        "ann", (1...5).map { member($0 + 10, $0) })
                    #expect(answers == Array(repeating: ["applied 1"], count: 5))
                }
                #expect(together == 2)
                // Two of one device follow each other.
                let meeting = try await proxy.roundTrips {
                    _ = try await database.lines("ann", (1...5).map { member($0 + 20, $0 % 3 + 1) })
                }
                #expect(meeting == 3)
                #expect(database.executor.groups.brokenGroups == 0)
            }
        }
    }

    @Test(
        "The first upload and the first page of a user take one round trip more: to find the scope")
    func firstRoundTrips() async throws {
        try await SyncedDatabase.with { direct in
            for user in ["ann", "bob"] {
                try await direct.upload(user, change(1, "INSERT", "prefs", "k", "{}"))
            }
            try await direct.throughProxy { proxy, database in
                // The catalog is read and the connections are made for bob.
                try await database.upload("bob", change(2, "INSERT", "prefs", "l", "{}"))
                _ = try await database.pull("bob")
                for (number, trips) in [(2, 3), (3, 2)] {
                    let upload = try await proxy.roundTrips {
                        try await database.upload(
                            "ann", change(number, "INSERT", "prefs", "k\(number)", "{}"))
                    }
                    #expect(upload == trips)
                }
                for trips in [2, 1] {
                    let page = try await proxy.roundTrips {
                        let answer = try await database.pull("ann") { $0.includeSelf = true }
                        #expect(answer.message.rows == 3)
                    }
                    #expect(page == trips)
                }
            }
        }
    }

    // PostgreSQL keeps a notification for a listener that is inside a transaction, and says how full that
    // queue is by pages of 8 kB: some 400 notifications, however short, fill one.
    @Test("H9: neither uploads nor captured plain SQL notify anybody")
    func notifications() async throws {
        let commits = 400
        try await SyncedDatabase.with { database in
            let listener = try await SyncedDatabase.connect(database.url)
            defer { listener.close() }
            try await listener.execute(script: "LISTEN control")
            try await listener.execute(script: "BEGIN; SELECT 1")
            let queue = "SELECT (pg_notification_queue_usage() > 0)::text"
            for number in 1...commits {
                try await database.upload(
                    "ann", change(number, "INSERT", "tags", "t\(number)", "{}"))
                try await database.execute(
                    "INSERT INTO s.notes (id, owner) VALUES (gen_random_uuid(), 'ann')")
            }
            #expect(try await database.value(queue) == "false")
            for number in 1...commits { try await database.execute("NOTIFY control, '\(number)'") }
            #expect(try await database.value(queue) == "true")
        }
    }

    @Test(
        "Names that are no columns are looked up in an index, however many columns the database has"
    )
    func unseenColumns() async throws {
        try await SyncedDatabase.with { database in
            let read = "SELECT seq_scan FROM pg_stat_xact_sys_tables WHERE relname = 'pg_attribute'"
            // As services plan: once, knowing nothing of the arrays.
            try await database.execute("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan")
            let before = try await database.value(read)
            try await database.execute(
                """
                SELECT sync.expect_no_columns(ARRAY['"s"."notes"', '"s"."tags"'], ARRAY['legacy', 'old'])
                """)
            #expect(try await database.value(read) == before)
            try await database.execute("SELECT count(*) FROM pg_attribute")
            #expect(try await database.value(read) != before)
            try await database.execute("COMMIT")
        }
    }

    @Test(
        "Sessions that planned while the tables were small read none of them whole when they are not"
    )
    func plansOfSmallTables() async throws {
        try await SyncedDatabase.with { database in
            func note(_ number: Int, of user: String) -> String {
                change(number, "INSERT", "notes", id("\(number)"), "{}")
                    + ","
                    + change(
                        number + 1, "INSERT", "items", id("\(number + 1)"),
                        #"{"note_id":"\#(id("\(number)"))"}"#)
            }
            for number in 1...20 {
                try await database.upload("ann", note(number * 2, of: "ann"))
            }
            // The next upload plans again, for tables that are known to be of one page.
            try await database.execute("ANALYZE")
            for number in 21...22 {
                try await database.upload("ann", note(number * 2, of: "ann"))
            }
            let read = """
                SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables
                WHERE schemaname IN ('sync', 's') AND relname NOT IN ('meta', 'catalog', 'signing_key')
                """
            let used = "SELECT sum(idx_scan) FROM pg_stat_user_tables WHERE schemaname = 's'"
            let before = try await database.value(read)
            for number in 100...300 {
                let user = "user \(number)"
                try await database.upload(user, note(number * 2, of: user))
            }
            // A session tells what it has done some seconds later.
            let least = 200
            while try await Int(database.value(used) ?? "") ?? 0 < least {}
            #expect(try await database.value(read) == before)
        }
    }
}
