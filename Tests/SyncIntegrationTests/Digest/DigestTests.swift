@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
@testable import Sidecar
import Telemetry
import Testing
@testable import UploadService

/// Promise P8, the server's half: the digest is that of what pages bring, whatever wrote the rows.
@Suite("P8: digests")
struct DigestTests {
    @Test("SQL computes the term that devices compute")
    func golden() async throws {
        try await SyncedDatabase.with { database in
            let term = DigestSQL.term(
                key: "convert_to('0b6f2a3e-6b1c-4c7e-9a55-2f4f0c9d1e11', 'UTF8')", version: "7",
                payload: #"'{"title":"Grüße","done":false}'::json"#)
            let found = try await database.value("SELECT (\(term))::text")
            #expect(found == "675785837877940492")
        }
    }

    @Test("It is that of pages after uploads, conflicts, refused rows, plain SQL and stored rows")
    func writers() async throws {
        try await SyncedDatabase.with { database in
            try await database.expectDigest("an empty log")
            let odd = #"{"title":"\u00e9\ud83d\ude00 \/ ü","Big": 1.50e2, "unknown":[1.0,null]}"#
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("1"), odd),
                change(2, "INSERT", "notes", id("2"), #"{"title":"b","at":"2026-01-02"}"#),
                change(3, "INSERT", "tags", "é \\\"", #"{"label":"t"}"#),
                change(4, "INSERT", "tags", "e\u{301}", #"{"label":"t"}"#))
            try await database.expectDigest("an upload")
            let large = String(repeating: "x", count: 900_000)
            try await database.upload(
                "ann", change(5, "UPDATE", "notes", id("1"), base: 1, #"{"title":"\#(large)"}"#),
                change(6, "UPDATE", "notes", id("1"), base: 2, #"{"title":"chain"}"#),
                change(7, "UPDATE", "notes", id("2"), base: 9, #"{"title":"conflict"}"#),
                change(8, "INSERT", "items", id("3"), #"{"n":"refused"}"#),
                change(9, "INSERT", "items", id("4"), #"{"n":4}"#))
            try await database.expectDigest("a chain, a conflict and a refused row")
            try await database.upload(
                "ann", atomic: true, change(10, "INSERT", "items", id("5"), #"{"n":5}"#),
                change(11, "INSERT", "items", id("6"), #"{"n":"refused"}"#))
            try await database.expectDigest("an atomic upload that left nothing")
            try await database.execute(
                """
                UPDATE s.notes SET title = 'sql' WHERE id = '\(id("2"))';
                INSERT INTO s.notes (id, owner, title, "Big", photo)
                VALUES ('\(id("7"))', 'ann', E'q"\\\\', 0.1, '\\x00ff');
                """)
            try await database.expectDigest("plain SQL")
            try await database.upload(
                "ann", change(12, "DELETE", "notes", id("2"), base: 2),
                change(13, "DELETE", "items", id("4"), base: 1))
            try await database.expectDigest("deletes")
            try await database.upload(
                "ann", change(14, "INSERT", "items", id("4"), base: 2, #"{"n":44}"#))
            try await database.expectDigest("a row that comes back")
            try await database.upload("bob", change(1, "INSERT", "notes", id("b"), "{}"))
            try await database.expectDigest("another user's row")
            try await database.expectDigest("that user's", of: "bob")
            #expect(try await database.sums("ann").count == 3)
            #expect(try await database.sums("nobody") == [])
        }
    }

    @Test("Buckets and rows add up to the sums, for keys of both kinds")
    func drillDown() async throws {
        try await SyncedDatabase.with { database in
            let notes = (1...60).map {
                change($0, "INSERT", "notes", id("\($0)"), #"{"title":"a"}"#)
            }
            let tags = (1...20).map {
                change(100 + $0, "INSERT", "tags", "tag \($0)", #"{"label":"a"}"#)
            }
            try await database.upload("ann", (notes + tags).joined(separator: ","))
            let pages = try await database.termsOfPages("ann")
            #expect(pages.count == 80)
            for count in [256, 4096] {
                let terms = try await database.terms("ann", table: "notes", count: count)
                #expect(terms == pages.filter { $0.table == "notes" })
            }
            #expect(
                try await database.terms("ann", table: "tags")
                    == pages.filter { $0.table == "tags" })
        }
    }

    @Test("What is stored in a sent row's place is what counts")
    func stored() async throws {
        try await SyncedDatabase.with(
            tables: """
                CREATE TABLE s.prices (id uuid PRIMARY KEY, owner text, amount numeric(10,2),
                    rate real, note text DEFAULT 'new', secret text);
                """,
            registered: "  - {table: s.prices, owner: owner, except: [secret]}\n"
        ) { database in
            try await database.upload(
                "ann", change(1, "INSERT", "prices", id("1"), #"{"amount":1.005,"rate":0.1}"#),
                change(2, "INSERT", "prices", id("2"), #"{"amount":1,"note":"n","secret":"s"}"#))
            try await database.expectDigest("rounded, defaulted and withheld values")
            try await database.upload(
                "ann", change(3, "UPDATE", "prices", id("1"), base: 1, #"{"amount":2.999}"#),
                change(4, "UPDATE", "prices", id("2"), base: 1, #"{"amount":2,"secret":"t"}"#))
            try await database.expectDigest("the same of updates")
        }
    }

    @Test("Compaction and repair of the books leave it as it is, and adopted rows count")
    func maintenance() async throws {
        try await SyncedDatabase.with { database in
            for version in 0..<5 {
                try await database.upload(
                    "ann",
                    change(
                        version + 1, version == 0 ? "INSERT" : "UPDATE", "notes", id("1"),
                        base: version, #"{"title":"v\#(version)"}"#))
            }
            try await database.upload("ann", change(9, "INSERT", "notes", id("2"), "{}"))
            try await database.upload("ann", change(10, "DELETE", "notes", id("2"), base: 1))
            let before = try await database.sums("ann")
            try await database.age(days: 100, upTo: 7)
            let day: Int64 = 86_400
            let done = try await database.compact(
                Retention(superseded: 30 * day, tombstones: 90 * day))
            #expect(done.superseded == 5 && done.tombstones == 1)
            #expect(try await database.sums("ann") == before)
            try await database.execute(
                "UPDATE sync.row_state SET version = 4, seq = 4 WHERE key = uuid_send('\(id("1"))')"
            )
            #expect(try await database.sums("ann") != before)
            _ = try await database.verify(repair: true)
            #expect(try await database.sums("ann") == before)
            try await database.expectDigest("repaired books")
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.notes (id, owner, title)
                SELECT gen_random_uuid(), 'ann', 'n' || i FROM generate_series(1, 300) i;
                RESET session_replication_role
                """)
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            let adopted = try await Adoption(reading: other, writing: database.sql)
                .adopt(TableName(schema: "s", table: "notes"), owner: nil) { _ in }
            #expect(adopted == 300)
            try await database.expectDigest("adopted rows")
        }
    }

    @Test("Only tables that the caller may read are summed, and no other says whether it exists")
    func rights() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.secrets (id uuid PRIMARY KEY, owner text, word text);",
            registered: "  - {table: s.secrets, owner: owner, read: [boss]}\n"
        ) { database in
            try await database.upload(
                "ann", roles: ["boss"], change(1, "INSERT", "secrets", id("1"), #"{"word":"w"}"#))
            #expect(try await database.sums("ann") == [])
            #expect(try await database.sums("ann", roles: ["boss"]).count == 1)
            for table in ["secrets", "nothing"] {
                let asked: [() async throws -> Void] = [
                    {
                        _ = try await database.digest("ann") {
                            $0.table = table
                            $0.bucketCount = 256
                        }
                    },
                    {
                        _ = try await database.digest("ann") {
                            $0.table = table
                            $0.bucketCount = 256
                            $0.buckets = [1]
                        }
                    },
                    { _ = try await database.rows("ann", table: table, [id("1")]) },
                ]
                for ask in asked {
                    await #expect(throws: RPCFailure.tableNotRead) { try await ask() }
                }
            }
            #expect(
                try await database.rows("ann", roles: ["boss"], table: "secrets", [id("1")])
                    .message.rows == 1)
        }
    }

    @Test("Rows come as the newest change of each, deletes too, in the order of the log")
    func rows() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("1"), #"{"title":"a"}"#),
                change(2, "INSERT", "notes", id("2"), #"{"title":"b"}"#),
                change(3, "INSERT", "notes", id("3"), #"{"title":"c"}"#))
            try await database.upload(
                "ann", change(4, "UPDATE", "notes", id("1"), base: 1, #"{"title":"a2"}"#),
                change(5, "DELETE", "notes", id("2"), base: 1))
            try await database.upload("bob", change(1, "INSERT", "notes", id("b"), "{}"))
            let keys = ["3", "2", "1", "9", "b", "1"].map(id)
            let answer = try await database.rows("ann", keys)
            let changes = try SyncedDatabase.changes(answer.body).map {
                "\($0.row.key.suffix(1)) \($0.row.version) \($0.row.term < 0)"
            }
            #expect(changes == ["3 1 false", "1 2 false", "2 2 true"])
            #expect(!answer.message.hasMore_p && answer.message.nextAfter == 5)
            #expect(answer.message.historySeq == 5)
            let pages = try await database.termsOfPages("ann")
            #expect(Set(try SyncedDatabase.changes(answer.body).map(\.row)).isSuperset(of: pages))
        }
    }

    @Test("Comparisons are counted, and rows that devices fetch to repair apart from others")
    func counted() async throws {
        try await SyncedDatabase.with { database in
            for number in 1...3 {
                try await database.upload(
                    "ann",
                    change(number, "INSERT", "notes", id("\(number)"), #"{"title":"a"}"#))
            }
            let metrics = MetricsRegistry()
            _ = try await database.digest("ann", metrics: metrics)
            _ = try await database.rows("ann", [id("1"), id("2")], metrics: metrics)
            _ = try await database.rows("ann", [id("3")], compares: true, metrics: metrics)
            // This goes on with the rows of a request before.
            _ = try await database.rows("ann", [id("1"), id("2")], after: 1, metrics: metrics)
            let lines = Set(metrics.rendered().split(separator: "\n"))
            #expect(
                lines.isSuperset(of: [
                    #"oversync_download_digests_total{of="tables"} 1"#,
                    #"oversync_download_rows_by_key_total{purpose="repair"} 2"#,
                    #"oversync_download_rows_by_key_total{purpose="compare"} 1"#,
                ]), "\(lines)")
        }
    }

    @Test("An answer has as many rows as fit, and says where to go on")
    func manyBytes() async throws {
        try await SyncedDatabase.with { database in
            let large = String(repeating: "x", count: 1_000_000)
            for number in 1...10 {
                try await database.upload(
                    "ann",
                    change(number, "INSERT", "notes", id("\(number)"), #"{"title":"\#(large)"}"#))
            }
            let keys = (1...10).map { id("\($0)") }
            let first = try await database.rows("ann", keys)
            #expect(first.message.hasMore_p && first.message.rows == 8)
            let rest = try await database.rows("ann", keys, after: first.message.nextAfter)
            #expect(!rest.message.hasMore_p && rest.message.rows == 2)
        }
    }

    @Test("Numbers that no table is divided by, and bodies that are none, are refused")
    func refusals() async throws {
        try await SyncedDatabase.with { database in
            for (count, buckets) in [(7, []), (0, [1]), (256, [256]), (256, Array(0..<65))] {
                let failure = await #expect(throws: RPCFailure.self) {
                    _ = try await database.digest("ann") {
                        $0.table = "notes"
                        $0.bucketCount = UInt32(count)
                        $0.buckets = buckets.map { UInt32($0) }
                    }
                }
                #expect(failure?.code == "invalid_request")
            }
            let failure = await #expect(throws: RPCFailure.self) {
                _ = try await database.rows("ann", Array(repeating: id("1"), count: 1001))
            }
            #expect(failure?.code == "invalid_request")
            // Of a key that the table cannot have there is no row.
            let nothing = try await database.rows("ann", ["none"])
            #expect(nothing.message.rows == 0)
        }
    }
}
