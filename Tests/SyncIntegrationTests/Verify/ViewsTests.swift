import Postgres
@testable import Sidecar
import Testing

@Suite("The sidecar's views join to business tables, and one function finds a row by its key")
struct ViewsTests {
    @Test("pk_uuid is a uuid, NULL where the key is none; pk is the key as text")
    func keys() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            for view in ["server_change_log", "sync_row_meta", "sync_state"] {
                let wrong = try await database.value(
                    """
                    SELECT count(*)::text FROM sync.\(view) v
                    WHERE v.pk IS NULL OR (v.table_name IN ('tags', 'prefs')) <> (v.pk_uuid IS NULL)
                        OR v.pk_uuid::text <> v.pk
                    """)
                #expect(wrong == "0", "\(view)")
                let joined = try await database.value(
                    """
                    SELECT count(DISTINCT n.id)::text FROM s.notes n
                    JOIN sync.\(view) v ON v.pk_uuid = n.id AND v.table_name = 'notes'
                    """)
                #expect(joined == "2", "\(view)")
            }
            #expect(
                try await database.value(
                    """
                    SELECT label FROM s.tags t JOIN sync.sync_state v ON v.pk = t.code
                    WHERE v.table_name = 'tags'
                    """
                ) == "server")
        }
    }

    @Test(
        "sync.find_row answers what the views say, for keys of both kinds, and nothing for others")
    func findRow() async throws {
        try await SyncedDatabase.with { database in
            try await database.fill()
            let compared = try await database.value(
                """
                SELECT count(*)::text || ' ' || count(*) FILTER (WHERE f.server_version =
                    v.server_version
                    AND f.deleted = v.deleted AND f.pk_uuid IS NOT DISTINCT FROM v.pk_uuid
                    AND f.updated_at = v.updated_at AND (f.payload IS NULL) = v.deleted)
                FROM sync.sync_row_meta v
                CROSS JOIN LATERAL sync.find_row(v.user_id, v.schema_name, v.table_name, v.pk) AS f
                """)
            #expect(compared == "9 9")
            func count(_ arguments: String) async throws -> String? {
                try await database.value("SELECT count(*)::text FROM sync.find_row(\(arguments))")
            }
            #expect(try await count("'ann', 's', 'notes', upper('\(id("a1"))')") == "1")
            #expect(try await count("'bob', 's', 'notes', '\(id("a1"))'") == "0")
            #expect(try await count("'ann', 's', 'nothing', '\(id("a1"))'") == "0")
            #expect(try await count("'ann', 's', 'prefs', 'none'") == "0")
        }
    }

    @Test("Only those who are granted it may call sync.find_row")
    func rights() async throws {
        try await SyncedDatabase.with { database in
            let everybody = try await database.value(
                """
                SELECT count(*)::text FROM pg_proc p, aclexplode(p.proacl) a
                WHERE p.oid = 'sync.find_row(text, text, text, text)'::regprocedure
                    AND a.grantee = 0
                """)
            #expect(everybody == "0")
        }
    }
}
