import Foundation
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport

@Suite("What the services' roles may do")
struct PrivilegeTests {
    private static let denied = "42501"

    @Test("Registering a table grants what Upload needs of it, and removing it takes that back")
    func registered() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            #expect(try await database.rights(of: .upload, in: "app") == [])
            try await database.install(RoleFixture.notes, RoleFixture.items)
            let all = ["DELETE", "INSERT", "SELECT", "UPDATE"]
            #expect(
                try await database.rights(of: .upload, in: "app")
                    == all.map { "app.items \($0)" } + all.map { "app.notes \($0)" })
            // A parent is only looked up; the default of a column and its type take a right each.
            #expect(
                try await database.rights(of: .upload, in: "shared") == ["shared.countries SELECT"])
            #expect(
                try await database.refusal(
                    of: """
                        INSERT INTO app.notes (id, title) VALUES (gen_random_uuid(), 'x'::types.title)
                        """, as: .upload) == nil)
            for other in [ServiceRole.download, .auth] {
                #expect(try await database.rights(of: other, in: "app") == [])
            }
            // To verify them.
            #expect(
                try await database.rights(of: .maintenance, in: "app")
                    == ["app.items SELECT", "app.notes SELECT"])
            try await database.execute(
                "GRANT SELECT ON shared.countries TO \(database.name(.download))")
            try await database.install(RoleFixture.items)
            #expect(
                try await database.rights(of: .upload, in: "app") == all.map { "app.items \($0)" })
            #expect(try await database.rights(of: .upload, in: "shared") == [])
            // What was granted by hand is not ours to take.
            #expect(
                try await database.rights(of: .download, in: "shared") == [
                    "shared.countries SELECT"
                ])
        }
    }

    @Test("A right that was taken away is named, and given back by the next migrate")
    func repaired() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes)
            let upload = database.name(.upload)
            try await database.execute(
                """
                REVOKE INSERT ON app.notes FROM \(upload);
                REVOKE SELECT ON sync.scope FROM \(database.name(.download));
                REVOKE EXECUTE ON FUNCTION sync.expect_rows FROM \(upload);
                REVOKE USAGE ON SCHEMA oversync_auth FROM \(database.name(.auth));
                REVOKE USAGE ON SEQUENCE app.notes_n_seq FROM \(upload);
                """)
            #expect(
                try await database.missing().sorted() == [
                    "\(database.name(.auth)) USAGE on schema oversync_auth",
                    "\(database.name(.download)) SELECT on table sync.scope",
                    "\(upload) EXECUTE on function sync.expect_rows(bigint, bigint)",
                    "\(upload) INSERT on table \"app\".\"notes\"",
                    "\(upload) USAGE on sequence \"app\".\"notes_n_seq\"",
                ])
            try await database.install(RoleFixture.notes)
            #expect(try await database.missing() == [])
        }
    }

    @Test("Another name for a role: the role before keeps its rights until the next migrate")
    func renamed() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes)
            let other = try #require(RoleName("\(database.prefix)_other"))
            var entries = database.request.entries
            entries[.upload] = .init(name: other)
            let insert = "INSERT INTO app.notes (id) VALUES (gen_random_uuid())"
            let before = try await database.rights(of: .upload, in: "sync")
            let remarks = try await database.install(
                RoleFixture.notes, request: RoleRequest(entries))
            #expect(remarks.count == 2)
            let remark = try #require(remarks.last)
            #expect(remark.contains("role \(other) replaces \(database.name(.upload)) for upload"))
            #expect(remark.contains("run oversync migrate again, which revokes them"))
            #expect(try await database.missing() == [])
            // Replicas that are still connected as the role before go on.
            #expect(try await database.refusal(of: insert, as: .upload) == nil)
            #expect(try await database.rights(of: .upload, in: "sync") == before)
            // A run that names no role keeps those in use, and takes from the one before what it
            // had.
            #expect(try await database.install(RoleFixture.notes, request: .standard) == [])
            #expect(try await database.rights(of: .upload, in: "app") == [])
            #expect(try await database.rights(of: .upload, in: "sync") == [])
            #expect(try await database.refusal(of: insert, as: .upload) == Self.denied)
            #expect(try await database.missing() == [])
            #expect(
                try await database.rows("SELECT name FROM sync.role WHERE purpose = 'upload'")
                    == [other.description])
        }
    }

    @Test("Download reads and writes nothing")
    func download() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes, RoleFixture.items)
            #expect(
                try await database.rights(of: .download, in: "sync")
                    == [
                        "atomic_upload", "catalog", "change_log", "hydration", "meta",
                        "returned_table", "row_state", "scope", "source",
                    ].map { "sync.\($0) SELECT" })
            for schema in ["app", "shared", "oversync_auth", "public"] {
                #expect(try await database.rights(of: .download, in: schema) == [])
            }
            for script in [
                "INSERT INTO sync.hydration VALUES (1, 'd', 0)", "DELETE FROM sync.hydration",
                "UPDATE sync.scope SET last_seq = 0", "SELECT FROM sync.scope FOR UPDATE",
                "TRUNCATE sync.change_log", "SELECT sync.lock_scopes('{ann}')",
                "CREATE TABLE sync.mine ()",
                "INSERT INTO app.notes (id) VALUES (gen_random_uuid())",
            ] {
                #expect(
                    try await database.refusal(of: script, as: .download) == Self.denied,
                    "\(script)")
            }
            #expect(try await database.refusal(of: "SELECT FROM sync.scope", as: .download) == nil)
        }
    }

    @Test("Auth has its own schema, which nobody else has")
    func auth() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes)
            #expect(
                try await database.rights(of: .auth, in: "oversync_auth")
                    == ["oversync_auth.audit INSERT", "oversync_auth.layout SELECT"]
                    + ["INSERT", "SELECT", "UPDATE"].map { "oversync_auth.signing_key \($0)" })
            for schema in ["sync", "app", "shared"] {
                #expect(try await database.rights(of: .auth, in: schema) == [])
            }
            #expect(
                try await database.refusal(of: "SELECT FROM sync.meta", as: .auth) == Self.denied)
            for other in [ServiceRole.upload, .download, .maintenance] {
                #expect(try await database.rights(of: other, in: "oversync_auth") == [])
                #expect(
                    try await database.refusal(
                        of: "SELECT FROM oversync_auth.signing_key", as: other)
                        == Self.denied)
            }
        }
    }

    @Test("The audit is append-only for the services; maintenance may prune it")
    func audit() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let insert =
                "INSERT INTO sync.audit (actor, action, target, outcome) VALUES ('a', 'b', 'c', 'd')"
            #expect(try await database.refusal(of: insert, as: .upload) == nil)
            for script in [
                "UPDATE sync.audit SET actor = 'x'", "DELETE FROM sync.audit",
                "TRUNCATE sync.audit",
                "SELECT FROM sync.audit",
            ] {
                for purpose in [ServiceRole.upload, .download, .auth] {
                    #expect(try await database.refusal(of: script, as: purpose) == Self.denied)
                }
            }
            for purpose in [ServiceRole.download, .auth] {
                #expect(try await database.refusal(of: insert, as: purpose) == Self.denied)
            }
            // That it was pruned, and by whom, cannot be left out.
            #expect(try await database.refusal(of: insert, as: .maintenance) == nil)
            #expect(
                try await database.refusal(
                    of: "UPDATE sync.audit SET actor = 'x'", as: .maintenance) == Self.denied)
            #expect(
                try await database.refusal(
                    of: "DELETE FROM sync.audit WHERE at < now() - interval '1 year'",
                    as: .maintenance) == Self.denied)
            // What it has just done stays, whatever age it asks for.
            try await database.execute(insert)
            #expect(
                try await database.rows(
                    "SELECT sync.prune_audit(0, 1000)", as: database.name(.maintenance)) == ["0"])
        }
    }

    @Test("Functions have a fixed search_path, and PUBLIC may run or enter nothing")
    func functions() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes, RoleFixture.items)
            // An SQL expression as a body was bound to its functions and operators when it was made.
            #expect(
                try await database.rows(
                    """
                    SELECT p.oid::regprocedure FROM pg_proc p
                    WHERE p.pronamespace IN ('sync'::regnamespace, 'oversync_auth'::regnamespace)
                        AND p.prosqlbody IS NULL
                        AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
                    """) == [])
            #expect(
                try await database.rows(
                    """
                    SELECT p.oid::regprocedure::text FROM pg_proc p
                    CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
                    WHERE p.pronamespace IN ('sync'::regnamespace, 'oversync_auth'::regnamespace)
                        AND a.grantee = 0
                    UNION ALL SELECT n.oid::regnamespace::text FROM pg_namespace n
                    CROSS JOIN aclexplode(n.nspacl) AS a
                    WHERE n.nspname IN ('sync', 'oversync_auth') AND a.grantee = 0
                    """) == [])
            #expect(
                try await database.rows(
                    "SELECT count(*) FROM pg_proc WHERE pronamespace = 'sync'::regnamespace")
                    == ["23"])
        }
    }

    @Test("Row-level security that hides rows from Upload is told of")
    func rowSecurity() async throws {
        try await RoleFixture.with { database in
            try await database.install(RoleFixture.notes, RoleFixture.items)
            try await database.execute("ALTER TABLE app.items ENABLE ROW LEVEL SECURITY")
            let remarks = try await database.install(RoleFixture.notes, RoleFixture.items)
            #expect(remarks.count == 1)
            #expect(remarks.first?.hasPrefix("app.items has row-level security") == true)
        }
    }
}
