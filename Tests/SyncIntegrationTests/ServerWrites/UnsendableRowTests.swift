import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing

@testable import UploadService

@Suite("Rows that devices cannot take")
struct UnsendableRowTests {
    private static let limit = WireLimits.largestRowBytes

    @Test(
        "Plain SQL that writes too large a row fails with what to do, and nobody's download stops")
    func tooLarge() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("INSERT INTO s.prefs VALUES ('ann', 'a', 'x')")
            for statement in [
                "INSERT INTO s.prefs VALUES ('ann', 'b', repeat('x', \(Self.limit)))",
                "UPDATE s.prefs SET value = repeat('x', \(Self.limit)) WHERE code = 'a'",
            ] {
                let error = await #expect(throws: PostgresError.self) {
                    try await database.execute(statement)
                }
                #expect(error?.sqlState?.rawValue == "54000")
                let message = try #require(error?.serverError?.message)
                #expect(message.contains("a row of s.prefs is too large for devices"))
                #expect(message.contains("at most \(Self.limit)"))
            }
            // The largest that may be written, and that a call's answer carries in either form.
            let frame = "{\"code\":\"c\",\"value\":\"\"}".utf8.count
            try await database.execute(
                "INSERT INTO s.prefs VALUES ('ann', 'c', repeat('x', \(Self.limit - frame)))")
            try await database.execute("INSERT INTO s.prefs VALUES ('ann', 'd', 'x')")
            for isProtobuf in [false, true] {
                let answer = try await database.pull("ann") {
                    $0.after = 1
                    $0.asProtobuf = isProtobuf
                }
                #expect(answer.message.nextAfter == 2)
                #expect(answer.message.hasMore_p)
                #expect(answer.body.readableBytes > Self.limit)
                #expect(answer.body.readableBytes < RPCLimits().maximumFrameBytes)
            }
            #expect(try await database.page("ann", after: 2, limit: 9).keys == ["d"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "Keys that no upload may use are refused to plain SQL too; such rows can still be deleted")
    func keys() async throws {
        try await SyncedDatabase.with { database in
            let longest = String(repeating: "k", count: RowKey.maximumTextBytes)
            try await database.execute("INSERT INTO s.prefs VALUES ('ann', '\(longest)', 'x')")
            for statement in [
                "INSERT INTO s.prefs VALUES ('ann', '', 'x')",
                "INSERT INTO s.prefs VALUES ('ann', '\(longest)k', 'x')",
                "UPDATE s.prefs SET code = ''",
            ] {
                let error = await #expect(throws: PostgresError.self) {
                    try await database.execute(statement)
                }
                #expect(error?.sqlState == .checkViolation)
                #expect(error?.serverError?.message.contains("devices take 1 to 512") == true)
            }
            #expect(try await database.download("ann").map(\.key) == [longest])
            try await database.logged(key: "", of: "ann")
            #expect(
                try await database.verify().0 == [
                    "unsendable_row user=ann table=s.prefs key=\"\" bytes=23 key_bytes=0"
                ])
            try await database.execute("DELETE FROM s.prefs WHERE code = ''")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "Rows that are older than the refusal: named, left out of repairs, downloads go on past them"
    )
    func existing() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.prefs VALUES ('ann', 'a', 'x'), ('ann', 'big', 'x'), ('ann', 'z', 'x');
                SET session_replication_role = replica;
                UPDATE s.prefs SET value = repeat('x', \(Self.limit + 1)) WHERE code = 'big';
                INSERT INTO s.prefs VALUES ('bob', '', 'x'), ('bob', 'new', repeat('x', \(Self.limit + 1)));
                RESET session_replication_role
                """)
            #expect(try await database.kinds() == ["unsendable_row": 3])
            #expect(try await database.verify(repair: true).0.count == 3)
            #expect(try await database.download("bob") == [])
            // As a log has it from before.
            try await database.execute(
                """
                UPDATE sync.change_log l SET payload = json_build_object('value', p.value)
                FROM s.prefs p WHERE p.code = 'big' AND l.key = 'big'
                """)
            #expect(
                try await database.page("ann", limit: 9)
                    == Read(next: 3, until: 3, more: false, keys: ["a", "z"]))
            #expect(
                try await database.page("ann", after: 1, limit: 1)
                    == Read(next: 2, until: 3, more: true, keys: []))
            let waiting = try await database.pull("ann") {
                $0.after = 1
                $0.limit = 1
                $0.includeSelf = true
                $0.waitSeconds = 30
            }
            #expect(waiting.message.nextAfter == 2)
            #expect(
                try await database.outcomes("ann", change(1, "UPDATE", "prefs", "big", "{}"))
                    == ["invalid batch_too_large"])
            try await database.execute("UPDATE s.prefs SET value = 'small' WHERE code = 'big'")
            #expect(try await database.download("ann").last?.payload?["value"] == "small")
            #expect(try await database.kinds() == ["unsendable_row": 2])
        }
    }

    @Test(
        "A page of large rows takes little more from PostgreSQL than it serves, and so does a conflict"
    )
    func bounded() async throws {
        try await SyncedDatabase.with { database in
            let rows = 60
            try await database.execute(
                """
                INSERT INTO s.prefs
                SELECT 'ann', 'k' || to_char(i, 'FM000'), repeat('x', 1000000) FROM generate_series(1, \(rows)) i
                """)
            let edits = (1...rows).map { n in
                let digits = "\(1000 + n)".dropFirst()
                return change(n, "UPDATE", "prefs", "k\(digits)", "{}")
            }.joined(separator: ",")
            try await database.throughProxy { proxy, near in
                let room = 3 * WireLimits.payloadBytesPerAnswer
                let page = try await near.page("ann", limit: 1000)
                #expect(page.more)
                #expect(page.keys.count == 8)
                #expect(proxy.answeredBytes < room)
                let before = proxy.answeredBytes
                let outcomes = try await near.upload("ann", edits).outcomes
                #expect(outcomes.filter { $0.status == "conflict" }.count == 8)
                #expect(outcomes.filter { $0.line == "invalid batch_too_large" }.count == rows - 8)
                #expect(proxy.answeredBytes - before < room)
                // The connection that a page was cut off on is as good as before.
                #expect(try await near.page("ann", after: 50, limit: 1000).keys.count == 8)
            }
        }
    }
}

extension SyncedDatabase {
    /// How many differences of each kind there are.
    fileprivate func kinds() async throws -> [String: Int] {
        try await verify().0.reduce(into: [:]) { kinds, line in
            kinds[String(line.prefix { $0 != " " }), default: 0] += 1
        }
    }

    /// A row of `prefs` as a log has it from before capture refused such.
    fileprivate func logged(key: String, of user: String) async throws {
        try await execute(
            """
            SET session_replication_role = replica;
            INSERT INTO s.prefs VALUES ('\(user)', '\(key)', 'x');
            RESET session_replication_role;
            WITH moved AS (UPDATE sync.scope SET last_seq = last_seq + 1 WHERE user_id = '\(user)' RETURNING *),
                logged AS (
                    INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
                        source_change_id, content_hash)
                    SELECT scope_id, last_seq, (SELECT table_id FROM sync.catalog WHERE table_name = 'prefs'), 'I',
                        '\(key)', 1, '{"code":"","value":"x"}', 0, last_seq, 0 FROM moved RETURNING *)
            INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
            SELECT scope_id, table_id, key, version, seq, false FROM logged
            """)
    }
}
