import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing

@testable import DownloadService
@testable import UploadService

/// This never happens by itself; an operator who repairs a database manually may leave it.
@Suite("A sidecar whose tables were edited by hand")
struct EditedLogTests {
    @Test(
        "A version or sequence after which there is no other is told by name, and the service goes on",
        arguments: [
            ("UPDATE sync.scope SET last_seq = 9223372036854775807", "last_seq"),
            ("UPDATE sync.row_state SET version = 9223372036854775807", "version"),
        ])
    func exhausted(edit: String, column: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "prefs", "p", "{}"))
            try await database.execute(edit)
            for base in [1, 1 << 53 - 1] {
                let edit = change(2, "UPDATE", "prefs", "p", base: base, "{}")
                var told: PostgresError?
                await #expect(throws: RPCFailure.self) {
                    try await database.executor.upload(
                        ByteBuffer(string: #"{"changes":[\#(edit)]}"#),
                        from: CallerIdentity(user: "ann", device: "phone"),
                        deadline: .now + .seconds(30), trouble: { told = $0 })
                }
                let error = try #require(told)
                #expect("\(error)".contains("\(column) \(Int.max): no number can follow it"))
            }
            #expect(
                try await database.outcomes("bob", change(1, "INSERT", "notes", id("a1"), "{}"))
                    == ["applied 1"])
        }
    }

    @Test("A change id that an older version took, and that no device can follow, does not count")
    func unfollowable() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(7, "INSERT", "prefs", "p", "{}"))
            try await database.upload("ann", change(8, "UPDATE", "prefs", "p", base: 1, "{}"))
            try await database.upload("ann", change(9, "UPDATE", "prefs", "p", base: 2, "{}"))
            try await database.execute(
                """
                UPDATE sync.change_log SET source_change_id = 9223372036854775807 WHERE seq = 2;
                UPDATE sync.change_log SET source_change_id = 9007199254740992 WHERE seq = 3
                """)
            func next() async throws -> Int64 {
                try await ReadBootstrap(pool: database.pool).read(
                    UserID("ann"), DeviceID("phone"), .now + .seconds(30)
                ).nextChangeID
            }
            #expect(try await next() == 8)
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(try await database.value("SELECT count(*)::text FROM sync.change_log") == "1")
            #expect(try await next() == 8)
        }
    }

    @Test(
        "A sidecar without its one row of `meta`, as half a restore leaves it, is told; nobody falls over it"
    )
    func noMeta() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "prefs", "p", "{}"))
            try await database.execute("DELETE FROM sync.meta")
            await #expect(throws: PostgresError.self) { try await database.download("ann") }
            await #expect(throws: RPCFailure.self) {
                try await database.upload(
                    "ann", epoch: "e", change(2, "INSERT", "prefs", "q", "{}"))
            }
            await #expect(throws: (any Error).self) {
                _ = try await Migrator(connection: database.sql).migrate()
            }
        }
    }

    @Test(
        "Times that the wire cannot say come as the nearest it can",
        arguments: [
            ("-infinity", "0000-01-01T00:00:00Z"), ("infinity", "9999-12-31T23:59:59.999999Z"),
            ("0044-03-15 00:00:00 BC", "0000-01-01T00:00:00Z"),
            ("12026-11-28 12:00:00", "9999-12-31T23:59:59.999999Z"),
        ])
    func times(time: String, text: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "prefs", "p", "{}"))
            try await database.execute("UPDATE sync.change_log SET ts = '\(time)'")
            #expect(try await database.rawPage("ann").contains("\"ts\":\"\(text)\""))
        }
    }

    @Test(
        "A key, an operation or a table that is none is told by its change and not served",
        arguments: [
            (#"UPDATE sync.change_log SET key = '\xff'"#, "prefs", "p", "key of change 1"),
            (#"UPDATE sync.change_log SET key = '\x01'"#, "notes", id("a1"), "key of change 1"),
            ("UPDATE sync.change_log SET table_id = 77", "notes", id("a1"), "table 77"),
            (
                """
                ALTER TABLE sync.change_log DROP CONSTRAINT change_log_op_check;
                UPDATE sync.change_log SET op = 'X'
                """, "prefs", "p", "operation 88"
            ),
        ])
    func unreadable(edit: String, table: String, key: String, told: String) async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", table, key, "{}"))
            try await database.execute(edit)
            do {
                let page = try await database.download("ann")
                Issue.record("served: \(page.count) changes")
            } catch let error as PostgresError {
                #expect("\(error)".contains(told))
            }
            #expect(try await database.download("bob").isEmpty)
        }
    }
}
