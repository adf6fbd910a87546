import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Tables whose keys are whole numbers: `INTEGER PRIMARY KEY`, which SQLite numbers itself, and
/// other INTEGER columns.
@Suite struct IntegerKeyTests {
    private static let schema = """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, title TEXT,
          up_id INTEGER REFERENCES orders (id));
        CREATE TABLE lines (id BIGINT NOT NULL UNIQUE, note TEXT, place INTEGER UNIQUE,
          order_id INTEGER REFERENCES orders (id) ON DELETE CASCADE);
        CREATE TABLE boxes (id TEXT PRIMARY KEY NOT NULL, order_id TEXT REFERENCES orders (id));
        """
    private static let tables = [
        SyncTable("orders", keyKind: .integer),
        SyncTable("lines", keyColumn: "id", keyKind: .integer), SyncTable("boxes"),
    ]

    private static func gateway() -> InMemoryGateway {
        InMemoryGateway(tables: [
            .init("orders", key: .integer, references: ["up_id": "orders"]),
            .init("lines", key: .integer, references: ["order_id": "orders"]),
            .init("boxes", references: ["order_id": "orders"]),
        ])
    }

    private static func device(
        _ name: String = "one", _ gateway: InMemoryGateway = gateway()
    ) throws -> Device {
        try Device(name, gateway, schema: schema, tables: tables)
    }

    private static let rows = """
        SELECT 'o', id, typeof(id), title, up_id FROM orders
        UNION ALL SELECT 'l', id, typeof(id), note, order_id FROM lines
        UNION ALL SELECT 'b', id, typeof(id), order_id, typeof(order_id) FROM boxes ORDER BY 1, 2
        """

    @Test("Rows of both kinds of columns go to another device and back, whole")
    func roundTrip() async throws {
        let one = try Self.device()
        let two = try Self.device("two", one.gateway)
        try one.execute(
            """
            INSERT INTO orders VALUES (42, 'a', NULL), (-5, 'b', 42),
              (9223372036854775807, 'c', -5),
              (-9223372036854775808, 'd', 9223372036854775807), (0, 'e', 0);
            INSERT INTO lines VALUES (9007199254740993, 'x', 1, 42),
              (-1, 'y', 2, 9223372036854775807);
            INSERT INTO boxes VALUES ('\(key(2))', '42');
            """)
        try await one.sync()
        try await two.sync()
        #expect(try two.lines(Self.rows) == one.lines(Self.rows))
        #expect(try two.count("SELECT count(*) FROM lines WHERE typeof(id) = 'integer'") == 2)
        try two.execute(
            """
            UPDATE orders SET title = 'edited' WHERE id = -9223372036854775808;
            DELETE FROM lines WHERE id = -1;
            UPDATE lines SET id = 7 WHERE id = 9007199254740993;
            """)
        try await two.sync()
        try await one.sync()
        #expect(try one.lines(Self.rows) == two.lines(Self.rows))
        #expect(try one.lines("SELECT id FROM lines") == ["7"])
        for device in [one, two] {
            #expect(try device.lines("SELECT key FROM _sync_pending") == [])
            let report = try await device.engine.verify(deep: true)
            #expect(report.isEqual)
        }
    }

    @Test("An insert that leaves the key to SQLite fails and says why; the server's -1 is written")
    func keylessInserts() async throws {
        let device = try Self.device()
        for insert in [
            "INSERT INTO orders (title) VALUES ('a')",
            "INSERT INTO orders VALUES (NULL, 'a', NULL)",
            "INSERT OR REPLACE INTO orders (title) VALUES ('a')",
            "INSERT OR IGNORE INTO orders (title) VALUES ('a')",
            "INSERT INTO orders (title) SELECT 'a'", "INSERT INTO orders VALUES (-1, 'a', NULL)",
        ] {
            let error = #expect(throws: DatabaseError.self) { try device.execute(insert) }
            #expect(error?.message?.contains("orders.id must be given") == true, "\(insert)")
        }
        #expect(try device.count("SELECT count(*) FROM orders") == 0)
        device.gateway.write("orders", "-1", #"{"id":-1,"title":"of the server's"}"#)
        try await device.sync()
        #expect(try device.lines("SELECT id, title FROM orders") == ["-1|of the server's"])
        // A column of its own holds what the app says, and no NULL.
        try device.execute("INSERT INTO lines (id) VALUES (-1)")
        #expect(throws: DatabaseError.self) {
            try device.execute("INSERT INTO lines (note) VALUES ('a')")
        }
        try await device.sync()
        #expect(device.gateway.version("lines", "-1") == 1)
    }

    @Test("Inserts are refused exactly where SQLite would choose the number")
    func rowNumbers() throws {
        for (declaration, isRefused) in [
            ("id INTEGER PRIMARY KEY", true), ("id INTEGER PRIMARY KEY AUTOINCREMENT", true),
            ("id INTEGER, PRIMARY KEY (id)", true), ("id INT PRIMARY KEY NOT NULL", false),
            ("id INTEGER PRIMARY KEY DESC NOT NULL", false), ("id INTEGER NOT NULL UNIQUE", false),
        ] {
            let device = try Device(
                schema: "CREATE TABLE t (\(declaration))",
                tables: [SyncTable("t", keyColumn: "id", keyKind: .integer)])
            let found = try device.count(
                "SELECT count(*) FROM sqlite_master WHERE name GLOB '_sync_*_keyless'")
            #expect((found == 1) == isRefused, "\(declaration)")
            #expect(throws: DatabaseError.self) {
                try device.execute("INSERT INTO t DEFAULT VALUES")
            }
        }
        let device = try Device(
            schema: "CREATE TABLE t (id INTEGER PRIMARY KEY) WITHOUT ROWID",
            tables: [SyncTable("t", keyKind: .integer)])
        try device.execute("INSERT INTO t VALUES (-1)")
        #expect(throws: DatabaseError.self) { try device.execute("INSERT INTO t VALUES (NULL)") }
    }

    @Test("A value that is no whole number is kept and shown as unsendable")
    func unsendable() async throws {
        let device = try Self.device()
        try device.execute("INSERT INTO lines (id, note) VALUES ('x', 'a'), (1.5, 'b'), (2, 'c')")
        try await device.sync()
        let rejected = try await device.engine.rejectedChanges
        #expect(rejected.map(\.reason) == ["unsendable_key", "unsendable_key"])
        let others = rejected.filter { $0.message?.contains("whole number") != true }
        #expect(others.isEmpty)
        #expect(device.gateway.version("lines", "2") == 1)
    }

    @Test("Held rows, conflicts, discards and the status of rows name the numbers")
    func statuses() async throws {
        let device = try Self.device()
        device.gateway.write("orders", "1", #"{"id":1,"title":"a","up_id":null}"#)
        device.gateway.write("lines", "5", #"{"id":5,"note":"n","place":1,"order_id":77}"#)
        try await device.sync()
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == ["5"])
        #expect(held.first?.missing == HeldRow.Parent(table: "orders", key: "77"))
        try device.execute("UPDATE orders SET title = 'mine' WHERE id = 1")
        let status = """
            SELECT s.state FROM orders o JOIN sync_row_status s
            ON s.table_name = 'orders' AND s.key = o.id WHERE o.id = 1
            """
        #expect(try device.text(status) == "pending")
        device.gateway.write("orders", "1", #"{"id":1,"title":"theirs","up_id":null}"#)
        // The second sends what the first made of the conflict.
        try await device.sync()
        try await device.sync()
        #expect(try device.text(status) == "synced")
        device.gateway.write("orders", "77", #"{"id":77,"title":"late","up_id":null}"#)
        try await device.sync()
        #expect(try device.lines("SELECT id, order_id FROM lines") == ["5|77"])
        #expect(try await device.engine.heldRows.isEmpty)
        try device.execute("INSERT INTO lines (id, note, order_id) VALUES (6, 'lost', 77)")
        device.gateway.refuse("lines", "6", reason: "key_taken")
        try await device.sync()
        let rejected = try #require(try await device.engine.rejectedChanges.first)
        #expect(rejected.key == "6")
        #expect(try device.text("SELECT state FROM sync_row_status WHERE key = 6") == "rejected")
        try await device.engine.discard(rejected)
        #expect(try device.lines("SELECT id FROM lines") == ["5"])
    }

    @Test("Rows are found again after the table is made anew, a reread, and repaired metadata")
    func rebuilt() async throws {
        let device = try Self.device()
        for number in 1...40 {
            device.gateway.write("orders", "\(number)", #"{"id":\#(number),"title":"a"}"#)
        }
        try await device.sync()
        try device.reopen { db in
            try db.execute(
                sql: """
                    PRAGMA defer_foreign_keys = ON;
                    CREATE TABLE new (id INTEGER PRIMARY KEY, title TEXT, up_id INTEGER, more TEXT);
                    INSERT INTO new SELECT *, NULL FROM orders WHERE id <> 7;
                    DROP TABLE orders; ALTER TABLE new RENAME TO orders;
                    """)
        }
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM orders") == 40)
        #expect(device.gateway.version("orders", "8") == 1)
        // Sound spellings are no damage.
        try device.execute("UPDATE _sync_rows SET local = 77 WHERE key = '9'")
        let repaired = try SyncEngine.repairMetadata(in: device.database)
        #expect(repaired.count == 1)
        try device.reopen()
        try await device.sync()
        let report = try await device.engine.verify(deep: true)
        #expect(report.isEqual)
        #expect(try device.count("SELECT count(*) FROM orders") == 40)
    }

    @Test("The engine asks for integer keys if a table has them, and else says what it always said")
    func asking() async throws {
        let gateway = Self.gateway()
        gateway.write("orders", "1", #"{"id":1,"title":"a"}"#)
        gateway.write("boxes", key(1), #"{"id":"\#(key(1))","order_id":1}"#)
        let one = try Self.device("one", gateway)
        try await one.sync()
        #expect(try one.count("SELECT count(*) FROM orders") == 1)
        let old = try Device(
            "old", gateway,
            schema: "CREATE TABLE boxes (id TEXT PRIMARY KEY NOT NULL, order_id INTEGER)",
            tables: [SyncTable("boxes")])
        try await old.sync()
        #expect(try old.count("SELECT count(*) FROM boxes") == 1)
        #expect(one.engine.session.catalog.keyKindsToAskFor == "integer")
        #expect(old.engine.session.catalog.keyKindsToAskFor == nil)
        // A newer version of the app syncs the other table, too.
        try old.reopen(tables: [SyncTable("boxes"), SyncTable("orders", keyKind: .integer)]) {
            try $0.execute(
                sql: "CREATE TABLE orders (id INTEGER PRIMARY KEY, title TEXT, up_id INTEGER)")
        }
        try await old.sync()
        #expect(try old.lines("SELECT id, title FROM orders") == ["1|a"])
    }

    @Test("A key column that is not INTEGER is refused, with what to declare")
    func otherColumns() throws {
        for type in ["TEXT", "NUMERIC", "", "REAL", "BLOB"] {
            let error = #expect(throws: SyncError.self) {
                try Device(
                    schema: "CREATE TABLE t (id \(type) PRIMARY KEY NOT NULL)",
                    tables: [SyncTable("t", keyKind: .integer)])
            }
            #expect("\(error.map { "\($0)" } ?? "")".contains("must be declared INTEGER"))
        }
    }
}
