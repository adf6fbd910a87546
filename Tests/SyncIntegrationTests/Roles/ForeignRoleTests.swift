@testable import DownloadService
import Foundation
import Model
import Postgres
import Protos
import RPC
import Sidecar
import Testing
import TestSupport

@Suite("Roles of others")
struct ForeignRoleTests {
    /// `search_path` puts functions and an operator of the role's own before PostgreSQL's.
    private static let hostile = """
        CREATE FUNCTION evil.refuse() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
        CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT evil.refuse()::text';
        CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql
            AS 'SELECT evil.refuse()::text';
        CREATE FUNCTION evil.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT evil.refuse()';
        CREATE OPERATOR evil.<> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.same);
        """

    @Test(
        "A back end that may only write business tables is captured, and may not touch the sidecar")
    func backEnd() async throws {
        try await SyncedDatabase.with { database in
            let role = "backend_\(UInt32.random(in: 0...UInt32.max))"
            try await database.execute(
                """
                CREATE ROLE \(role) LOGIN; GRANT USAGE ON SCHEMA s TO \(role);
                GRANT INSERT, UPDATE, DELETE ON s.notes, s.items TO \(role);
                CREATE SCHEMA evil; \(Self.hostile)
                GRANT USAGE ON SCHEMA evil TO \(role);
                """)
            let backEnd = try await SyncedDatabase.connect(TestDatabase.url(database.url, as: role))
            defer { backEnd.close() }
            for path in ["public", "evil, pg_catalog"] {
                try await backEnd.execute(
                    script: """
                        SET search_path = \(path);
                        INSERT INTO s.notes (id, owner, title) VALUES ('\(id("1"))', 'ann', 'a');
                        INSERT INTO s.items (id, owner, note_id) VALUES ('\(id("2"))', 'ann', '\(id("1"))');
                        UPDATE s.notes SET title = 'b';
                        DELETE FROM s.notes;
                        """)
            }
            let feed = try await database.feed("ann")
            #expect(
                feed == [
                    "I notes 01 1", "I items 02 1", "U notes 01 2", "D notes 01 3", "D items 02 2",
                    "I notes 01 4", "I items 02 3", "U notes 01 5", "D notes 01 6", "D items 02 4",
                ])
            let error = await #expect(throws: PostgresError.self) {
                try await backEnd.execute(script: "SELECT FROM sync.scope")
            }
            #expect(error?.sqlState == .insufficientPrivilege)
        }
    }

    @Test("The upload role's own search_path changes nothing")
    func uploadPath() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                CREATE SCHEMA evil; \(Self.hostile)
                GRANT USAGE ON SCHEMA evil TO \(ServiceRole.upload.defaultName);
                """)
            try await database.pool.withConnection { connection in
                let hijacked = await #expect(throws: PostgresError.self) {
                    try await connection.run([
                        Command(
                            Statement(
                                name: "path",
                                sql:
                                    "SELECT pg_catalog.set_config('search_path', 'evil, pg_catalog', false)"
                            )),
                        Command(Statement(name: "control", sql: "SELECT 1::bigint <> 2::bigint")),
                    ])
                }
                #expect(hijacked?.sqlState == .raisedException)
                try await connection.execute(script: "SET search_path = evil, pg_catalog")
                let rows = try await connection.run(
                    Command(Statement(name: "rows", sql: "SELECT sync.expect_rows(2, 2)")))
                #expect(try rows.int64(0, 0) == 2)
            }
        }
    }

    @Test("A first page that begins a hydration is not answered before it is on record")
    func hydration() async throws {
        struct NoUpload: HydrationNotes {
            func record(floor: Sequence64, _ context: CallContext) async throws(RPCFailure) {
                throw .unavailable("no Upload")
            }
        }
        try await SyncedDatabase.with { database in
            for number in 1...4 {
                try await database.upload(
                    "ann", change(number, "INSERT", "notes", id("a\(number)"), "{}"))
            }
            try await database.execute("UPDATE sync.scope SET floor_seq = 2")
            let failure = await #expect(throws: RPCFailure.self) {
                try await database.pull("ann", hydrations: NoUpload()) { $0.limit = 2 }
            }
            #expect(failure?.status == .unavailable)
            #expect(try await database.value("SELECT count(*)::text FROM sync.hydration") == "0")
            // A page that is whole needs none: the device has everything.
            _ = try await database.pull("ann", hydrations: NoUpload())
            _ = try await database.pull("ann") { $0.limit = 2 }
            #expect(
                try await database.value("SELECT device || ' ' || floor_seq FROM sync.hydration")
                    == "reader 2")
        }
    }
}
