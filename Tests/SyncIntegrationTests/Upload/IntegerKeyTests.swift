import Foundation
import Model
import Postgres
import Sidecar
import Testing

@testable import UploadService

/// Tables whose keys are whole numbers, as most existing databases have them.
@Suite("Integer keys")
struct IntegerKeyTests {
    static let tables = """
        CREATE DOMAIN s.small AS smallint;
        CREATE TABLE s.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text,
            title text, up_id bigint REFERENCES s.orders DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE s.lines (id serial PRIMARY KEY, owner text, place int, note text DEFAULT 'new',
            order_id bigint REFERENCES s.orders ON DELETE CASCADE, UNIQUE (owner, place));
        CREATE TABLE s.sizes (id s.small PRIMARY KEY, label text);
        CREATE TABLE s.boxes (id uuid PRIMARY KEY, owner text,
            size_id smallint REFERENCES s.sizes ON UPDATE CASCADE);
        CREATE TABLE s.numbers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
        """
    static let registered = """
          - {table: s.orders, owner: owner}
          - {table: s.lines, owner: owner}
          - {table: s.sizes}
          - {table: s.boxes, owner: owner}
          - {table: s.numbers}
        """

    private static func with(_ body: (SyncedDatabase) async throws -> Void) async throws {
        try await SyncedDatabase.with(tables: tables, registered: registered, body)
    }

    @Test("Uploads create, edit and delete rows, also where PostgreSQL makes the key itself")
    func uploads() async throws {
        try await Self.with { database in
            let created = try await database.outcomes(
                "ann", change(1, "INSERT", "orders", "42", #"{"id":42,"title":"a"}"#),
                change(2, "INSERT", "orders", "-5", #"{"title":"b","up_id":42}"#),
                change(3, "INSERT", "orders", "0", #"{}"#),
                change(4, "INSERT", "lines", "7", #"{"order_id":42,"place":1}"#),
                change(5, "INSERT", "sizes", "32767", #"{"label":"large"}"#),
                change(6, "INSERT", "boxes", id("b1"), #"{"size_id":32767}"#),
                change(7, "INSERT", "numbers", "9223372036854775807", #"{}"#))
            #expect(created == Array(repeating: "applied 1", count: 7))
            let orders = "SELECT string_agg(id || ' ' || coalesce(title, '-'), ', ' ORDER BY id)"
            #expect(try await database.value("\(orders) FROM s.orders") == "-5 b, 0 -, 42 a")
            let edited = try await database.outcomes(
                "ann", change(8, "UPDATE", "orders", "42", base: 1, #"{"title":"c"}"#),
                change(9, "UPDATE", "orders", "0", base: 1, #"{}"#),
                change(10, "UPDATE", "numbers", "9223372036854775807", base: 1, #"{}"#),
                change(11, "DELETE", "orders", "-5", base: 1))
            #expect(edited == Array(repeating: "applied 2", count: 4))
            let late = try await database.outcomes(
                "ann", device: "tablet",
                change(1, "UPDATE", "orders", "42", base: 1, #"{"title":"late"}"#))
            #expect(late == [#"conflict 2 by phone/8 {"title":"c"}"#])
            #expect(try await database.value("\(orders) FROM s.orders") == "0 -, 42 c")
            let log = try await database.download("ann").map {
                "\($0.operation.prefix(1)) \($0.key)"
            }
            #expect(
                Set(log) == [
                    "I 42", "I -5", "I 0", "I 7", "I 32767", "I \(id("b1"))",
                    "I 9223372036854775807", "U 42", "U 0", "U 9223372036854775807", "D -5",
                ])
            let known = try await database.outcomes(
                "ann", change(8, "UPDATE", "orders", "42", base: 1, #"{"title":"c"}"#))
            #expect(known == ["applied 2"])
            #expect(try await database.verify().0 == [])
            #expect(try await database.differenceOfDigests() == nil)
        }
    }

    @Test(
        "Anything but a number's one form, in the range of the column's type, is rejected",
        arguments: [
            ("orders", "+5"), ("orders", "05"), ("orders", "-0"), ("orders", ""), ("orders", " 5"),
            ("orders", "5.0"), ("orders", "1e3"), ("orders", "٣"),
            ("orders", "9223372036854775808"), ("orders", "-9223372036854775809"),
            ("lines", "2147483648"), ("lines", "-2147483649"), ("sizes", "32768"),
            ("sizes", id("a1")),
        ])
    func refusedKeys(table: String, key: String) async throws {
        try await Self.with { database in
            let result = try await database.upload(
                "ann", change(1, "INSERT", table, key, "{}"),
                change(2, "INSERT", "orders", "1", "{}"))
            guard case .invalid(let rejection) = result.outcomes[0] else {
                Issue.record("\(result.outcomes[0])")
                return
            }
            let highest = ["orders": "9223372036854775807", "lines": "2147483647"]
            #expect(rejection.reason == .badPayload)
            #expect(
                rejection.message?.hasPrefix("bad_payload: invalid key \(key): pk of s.\(table) is")
                    == true)
            #expect(rejection.message?.contains("to \(highest[table] ?? "32767") in") == true)
            #expect(result.outcomes[1].line == "applied 1")
        }
    }

    @Test("References are found whichever way JSON writes the number, and missed ones are named")
    func references() async throws {
        try await Self.with { database in
            let lines = try await database.outcomes(
                "ann", change(1, "INSERT", "lines", "1", #"{"order_id":77}"#),
                change(2, "INSERT", "lines", "2", #"{"order_id":"9"}"#),
                change(3, "INSERT", "orders", "9", #"{"up_id":9}"#),
                change(4, "INSERT", "lines", "3", #"{"order_id":9}"#),
                change(5, "INSERT", "lines", "4", #"{"order_id":true}"#))
            #expect(
                lines == [
                    "invalid fk_missing s.orders:77", "applied 1", "applied 1", "applied 1",
                    "invalid bad_payload",
                ])
            // A parent of somebody else's.
            let others = try await database.outcomes(
                "bob", change(1, "INSERT", "lines", "5", #"{"order_id":9}"#),
                change(2, "INSERT", "orders", "9", #"{"title":"mine"}"#),
                change(3, "INSERT", "sizes", "1", #"{"label":"s"}"#))
            #expect(
                others == ["invalid fk_missing s.orders:9", "invalid key_taken", "applied 1"])
            #expect(
                try await database.outcomes("ann", change(6, "INSERT", "sizes", "1", "{}"))
                    == ["invalid key_taken"])
            // The rows of a deleted parent go with it.
            _ = try await database.upload(
                "ann", change(7, "DELETE", "orders", "9", base: 1))
            #expect(
                Set(try await database.feed("ann", after: 3)) == [
                    "D orders 9 2", "D lines 2 2", "D lines 3 2",
                ])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A refused row is refused alone, unique values are exchanged, and what is stored comes back"
    )
    func refusedRows() async throws {
        try await Self.with { database in
            _ = try await database.upload(
                "ann", change(1, "INSERT", "lines", "1", #"{"place":1}"#),
                change(2, "INSERT", "lines", "2", #"{"place":2}"#))
            let outcomes = try await database.outcomes(
                "ann", change(3, "UPDATE", "lines", "1", base: 1, #"{"place":2}"#),
                change(4, "UPDATE", "lines", "2", base: 1, #"{"place":1}"#),
                change(5, "INSERT", "lines", "3", #"{"place":"x"}"#),
                change(6, "INSERT", "lines", "4", #"{"place":2}"#))
            #expect(
                outcomes == [
                    "applied 2", "applied 2", "materialize_error 22P02", "materialize_error 23505",
                ])
            #expect(
                try await database.value(
                    "SELECT string_agg(id || '=' || place, ' ' ORDER BY id) FROM s.lines")
                    == "1=2 2=1")
            let first = try #require(try await database.download("ann").first)
            #expect(first.payload?["note"] == "new")
            #expect(first.payload?["id"] == "1")
            let failure = """
                SELECT sync.key_text(f.key, c.key_kind) FROM sync.materialize_failures f
                JOIN sync.catalog c USING (table_id) ORDER BY f.id LIMIT 1
                """
            #expect(try await database.value(failure) == "3")
        }
    }

    @Test("Plain SQL reaches devices: defaults, changed keys, ON UPDATE CASCADE, TRUNCATE")
    func plainSQL() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                INSERT INTO s.orders (owner, title) VALUES ('ann', 'a'), ('ann', 'b');
                INSERT INTO s.lines (owner, order_id) VALUES ('ann', 1), ('ann', 2);
                UPDATE s.lines SET id = -9 WHERE id = 2;
                DELETE FROM s.orders WHERE id = 1
                """)
            #expect(
                Set(try await database.feed("ann")) == [
                    "I orders 1 1", "I orders 2 1", "I lines 1 1", "I lines 2 1", "D lines 2 2",
                    "I lines -9 1", "D lines 1 2", "D orders 1 2",
                ])
            // Keys of a table without an owner are of the user whose upload made them.
            _ = try await database.upload(
                "ann", change(1, "INSERT", "sizes", "5", #"{"label":"m"}"#),
                change(2, "INSERT", "boxes", id("b1"), #"{"size_id":5}"#))
            let before = try await database.download("ann").count
            try await database.execute("UPDATE s.sizes SET id = 6 WHERE id = 5")
            let news = Set(try await database.feed("ann", after: before))
            #expect(news.contains("D sizes 5 2") && news.contains("U boxes b1 2"))
            try await database.execute("TRUNCATE s.lines")
            #expect(try await database.feed("ann").last == "D lines -9 2")
            #expect(try await database.verify().1.differences == 0)
        }
    }

    @Test(
        "verify names rows by their numbers, repairs them, and adopt brings what was there before")
    func verifyAndAdopt() async throws {
        try await Self.with { database in
            _ = try await database.upload(
                "ann", change(1, "INSERT", "orders", "1", #"{"title":"a"}"#),
                change(2, "INSERT", "orders", "2", #"{"title":"b"}"#),
                change(3, "INSERT", "sizes", "7", #"{"label":"s"}"#))
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.orders SET title = 'unseen' WHERE id = 1;
                DELETE FROM s.orders WHERE id = 2;
                UPDATE s.sizes SET label = 'unseen' WHERE id = 7;
                INSERT INTO s.orders (id, owner, title) OVERRIDING SYSTEM VALUE
                SELECT i, 'bob', 'old' FROM generate_series(1000, 3999) i;
                INSERT INTO s.sizes SELECT i, 'old' FROM generate_series(100, 199) i;
                RESET session_replication_role
                """)
            let found = try await database.verify(user: "ann").0
            for line in [
                "table=s.orders key=1 columns=title", "missing_row user=ann table=s.orders key=2",
                "table=s.sizes key=7 columns=label",
            ] {
                let isFound = found.contains { $0.contains(line) }
                #expect(isFound, "\(line) not in \(found)")
            }
            let left = try await database.verify(repair: true, acceptsDeletes: true).0
            #expect(left == [])
            let reading = try await SyncedDatabase.connect(database.url)
            defer { reading.close() }
            let adoption = Adoption(reading: reading, writing: database.sql)
            #expect(
                try await adoption.adopt(.init(schema: "s", table: "sizes"), owner: "bob") { _ in }
                    == 100)
            #expect(try await database.value("SELECT count(*) FROM sync.row_state") == "3103")
            #expect(try await database.differenceOfDigests() == nil)
            let keys = try await database.value(
                """
                SELECT string_agg(pk, ' ' ORDER BY pk) || ' ' || count(pk_uuid)
                FROM sync.sync_state WHERE user_id = 'ann'
                """)
            #expect(keys == "1 7 0")
            let one = "SELECT payload ->> 'title' FROM sync.find_row('ann', 's', 'orders', '1')"
            #expect(try await database.value(one) == "unseen")
        }
    }

    @Test("Rows are found by the index of their key's column, whatever its type")
    func plans() async throws {
        try await Self.with { database in
            try await database.execute(
                """
                INSERT INTO s.orders (owner) SELECT 'ann' FROM generate_series(1, 3000);
                INSERT INTO s.lines (owner, order_id)
                SELECT 'ann', i FROM generate_series(1, 3000) i;
                INSERT INTO s.sizes SELECT i, 'x' FROM generate_series(1, 3000) i;
                ANALYZE; SET plan_cache_mode = force_generic_plan;
                """)
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let business = BusinessStatements(schema)
            for name in ["orders", "lines", "sizes"] {
                let table = try #require(schema.table(.init(schema: "s", table: name)))
                for kind in [MaterializeStatement.Kind.update, .delete] {
                    let statement = business.rows(
                        table, kind, ColumnSet(), as: .texts, expecting: .asRecorded)
                    let types = statement.parameters.map { "\($0.rawValue)::oid::regtype" }
                    let list = try await database.value(
                        "SELECT concat_ws(', ', \(types.joined(separator: ", ")))")
                    try await database.execute(
                        "PREPARE rows_of(\(list ?? "")) AS \(statement.sql)")
                    let nulls = types.map { _ in "NULL" }.joined(separator: ", ")
                    let plan =
                        try await database.value(
                            "EXPLAIN (FORMAT JSON) EXECUTE rows_of(\(nulls))") ?? ""
                    try await database.execute("DEALLOCATE rows_of")
                    #expect(plan.contains("\(name)_pkey"), "\(plan)")
                }
            }
        }
    }

    @Test("Policies decide about rows with integer keys, too")
    func policies() async throws {
        let tables = """
            CREATE TABLE s.secrets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text,
                word text);
            ALTER TABLE s.secrets ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON s.secrets TO oversync_upload USING (owner =
                current_setting('request.jwt.claims', true)::json ->> 'sub' AND word <> 'hidden');
            """
        try await SyncedDatabase.with(
            tables: tables, registered: "  - {table: s.secrets, owner: owner, row_security: true}"
        ) { database in
            let created = try await database.outcomes(
                "ann", change(1, "INSERT", "secrets", "1", #"{"word":"a"}"#),
                change(2, "INSERT", "secrets", "2", #"{"word":"hidden"}"#))
            #expect(created == ["applied 1", "materialize_error 42501"])
            try await database.execute("UPDATE s.secrets SET word = 'hidden' WHERE id = 1")
            let edited = try await database.outcomes(
                "ann", change(3, "UPDATE", "secrets", "1", base: 2, #"{"word":"b"}"#),
                change(4, "INSERT", "secrets", "3", #"{"word":"c"}"#))
            #expect(edited == ["materialize_error OV004", "applied 1"])
            #expect(
                try await database.outcomes("ann", change(5, "DELETE", "secrets", "1", base: 2))
                    == ["materialize_error OV004"])
        }
    }
}
