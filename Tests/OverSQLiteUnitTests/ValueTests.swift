import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Values and keys on their way between SQLite and the wire.
@Suite struct ValueTests {
    static let schema = """
        CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, t TEXT, i INTEGER, r REAL, n NUMERIC, b BLOB, j JSON)
        """

    static func pair() throws -> (Device, Device) {
        let gateway = InMemoryGateway()
        let tables = [SyncTable("v")]
        return (
            try Device("one", gateway, schema: schema, tables: tables),
            try Device("two", gateway, schema: schema, tables: tables)
        )
    }

    @Test(
        "C12: every value arrives as it was",
        arguments: [
            ("t", "'plain'"), ("t", "''"), ("t", "NULL"),
            ("t", "'quote \" backslash \\ tab ' || char(9, 10, 8232)"),
            ("t", "'emoji 👩‍👩‍👧 ü'"), ("i", "9223372036854775807"), ("i", "-9223372036854775808"),
            ("i", "9007199254740993"),
            ("i", "0"), ("r", "0.1"), ("r", "0.1 + 0.2"), ("r", "1e300"), ("r", "-0.0"), ("r", "5"),
            ("r", "1e15"),
            ("n", "12345678901234567"), ("n", "1.5"), ("b", "x''"), ("b", "NULL"),
            ("b", "x'00ff10'"),
            ("b", "x'00112233445566778899aabbccddeeff'"), ("b", "CAST('abcd' AS BLOB)"),
        ])
    func roundTrip(column: String, expression: String) async throws {
        let (one, two) = try Self.pair()
        try one.execute("INSERT INTO v (id, \(column)) VALUES (?, \(expression))", [key(1)])
        try await one.sync()
        try await two.sync()
        let query = "SELECT quote(\(column)) || typeof(\(column)) FROM v"
        #expect(try two.text(query) == one.text(query))
        // What came is not taken for an edit.
        #expect(try two.queue().isEmpty)
    }

    @Test(
        "numbers keep their digits by the column they go to",
        arguments: [
            ("t", "18446744073709551615.50", "'18446744073709551615.50'"), ("t", "5", "'5'"),
            ("t", "true", "'1'"),
            ("t", #"{"a": [1, 2.50]}"#, #"'{"a":[1,2.50]}'"#), ("i", "true", "1"),
            ("i", "2.5", "2.5"),
            ("n", "36893488147419103232", "3.68934881474191032316e+19"),
            ("i", "9223372036854775807", "9223372036854775807"),
            (
                "b", #""00112233-4455-6677-8899-AABBCCDDEEFF""#,
                "X'00112233445566778899AABBCCDDEEFF'"
            ),
            ("b", #""AP8=""#, "X'00FF'"), ("b", #""00f""#, ""), ("b", #""00fg""#, "X'D347E0'"),
            ("b", #""00ff1""#, ""),
            ("b", #""00ff11""#, "X'00FF11'"), ("t", "\"a\\u0041\\ud83d\\ude00\"", "'aA😀'"),
        ])
    func decoding(column: String, json: String, expected: String) async throws {
        let (one, _) = try Self.pair()
        one.gateway.write("v", key(1), #"{"id":"\#(key(1))","\#(column)":\#(json)}"#)
        try await one.sync()
        #expect(try one.text("SELECT quote(\(column)) FROM v") ?? "" == expected)
        #expect(one.engine.status.heldCount == (expected.isEmpty ? 1 : 0))
    }

    @Test(
        "a column declared JSON holds the value's text, which goes out as the value, also with an edit of another column",
        arguments: [
            #"{"a":[1,2.50,"é"]}"#, "[]", #""a word""#, #""12""#, "true", "7", "null",
        ])
    func json(value: String) async throws {
        let (one, two) = try Self.pair()
        one.gateway.write("v", key(1), #"{"id":"\#(key(1))","t":"before","j":\#(value)}"#)
        try await one.sync()
        #expect(try one.text("SELECT CAST(j AS TEXT) FROM v") ?? "null" == value)
        try one.execute("UPDATE v SET t = 'after'")
        try await one.sync()
        #expect(one.gateway.rows("v")[key(1)]?.contains(#""j":\#(value)"#) == true)
        try await two.sync()
        #expect(try two.text("SELECT CAST(j AS TEXT) FROM v") ?? "null" == value)
    }

    @Test("JSON that an app writes with spaces goes out as the value")
    func spacedJSON() async throws {
        let (one, two) = try Self.pair()
        try one.execute(
            "INSERT INTO v (id, j) VALUES (?, ?)", [key(1), "{ \"a b\" : [1,  2] }\n"])
        try await one.sync()
        try await two.sync()
        #expect(try two.text("SELECT j FROM v") == #"{"a b":[1,2]}"#)
    }

    @Test(
        "a value with no form on the wire sets its row aside with the reason, and others go",
        arguments: [
            ("r", "9e999"), ("t", "x'00'"), ("b", "'text'"), ("j", "'{\"open\":'"), ("j", "'word'"),
            ("j", "''"), ("j", "x'7b7d'"),
        ])
    func unsendable(column: String, expression: String) async throws {
        let (one, _) = try Self.pair()
        try one.execute("INSERT INTO v (id, \(column)) VALUES (?, \(expression))", [key(1)])
        try one.execute("INSERT INTO v (id) VALUES (?)", [key(2)])
        try await one.sync()
        #expect(Array(one.gateway.rows("v").keys) == [key(2)])
        #expect(try await one.engine.rejectedChanges.map(\.reason) == ["unsendable_value"])
        try one.execute("UPDATE v SET \(column) = NULL")
        try await one.sync()
        #expect(one.gateway.rows("v").count == 2)
        #expect(one.engine.status.rejectedCount == 0)
    }

    @Test(
        "a key with no form on the wire is shown as rejected until it is mended",
        arguments: ["'no uuid'", "NULL", "7"])
    func unsendableKey(literal: String) async throws {
        let device = try Device(
            schema: "CREATE TABLE v (id TEXT PRIMARY KEY, t TEXT)", tables: [SyncTable("v")])
        try device.execute("INSERT INTO v (id) VALUES (\(literal))")
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["unsendable_key"])
        try device.execute("UPDATE v SET id = ?", [key(1)])
        try await device.sync()
        #expect(device.engine.status.pendingCount == 0)
        #expect(Array(device.gateway.rows("v").keys) == [key(1)])
    }

    @Test(
        "a UUID written in the other form than its column's is refused with what to do",
        arguments: [
            ("TEXT", "x'00112233445566778899aabbccddeeff'", "databaseUUIDEncodingStrategy"),
            ("TEXT", "'no uuid'", "not a UUID: use one"),
            ("BLOB", "'\(key(1))'", "as 16 bytes, or declare the column TEXT"),
            ("BLOB", "x'00'", "not a UUID of 16 bytes"),
        ])
    func otherForm(type: String, literal: String, words: String) async throws {
        let device = try Device(
            schema: "CREATE TABLE v (id \(type) PRIMARY KEY, t TEXT)", tables: [SyncTable("v")])
        try device.execute("INSERT INTO v (id) VALUES (\(literal))")
        try await device.sync()
        let message = try #require(try await device.engine.rejectedChanges.first?.message)
        #expect(message.contains(words), "\(message)")
    }

    @Test("a row without its parent on the server says where the parent may be")
    func missingParent() async throws {
        let device = try Device(tables: [SyncTable("posts")])
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try device.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(2), key(1)])
        device.gateway.refuse("posts", key(2), reason: "fk_missing")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        #expect(change.reason == "fk_missing")
        #expect(change.message?.contains("its table is not among the engine's tables") == true)
    }

    @Test("BLOB keys travel as dashed UUIDs and references to them as base64")
    func blobKeys() async throws {
        let schema = """
            CREATE TABLE a (id BLOB PRIMARY KEY NOT NULL, t TEXT);
            CREATE TABLE c (id BLOB PRIMARY KEY NOT NULL, a_id BLOB REFERENCES a ON DELETE CASCADE)
            """
        let gateway = InMemoryGateway()
        let tables = [SyncTable("a"), SyncTable("c")]
        let one = try Device("one", gateway, schema: schema, tables: tables)
        let two = try Device("two", gateway, schema: schema, tables: tables)
        try one.execute("INSERT INTO a VALUES (x'00112233445566778899aabbccddeeff', 't')")
        try one.execute(
            "INSERT INTO c VALUES (x'10112233445566778899aabbccddeeff', x'00112233445566778899aabbccddeeff')"
        )
        try await one.sync()
        let pk = "00112233-4455-6677-8899-aabbccddeeff"
        #expect(gateway.rows("a")[pk] == #"{"id":"\#(pk)","t":"t"}"#)
        #expect(
            gateway.rows("c").values.first?.contains(#""a_id":"ABEiM0RVZneImaq7zN3u/w==""#) == true)
        try await two.sync()
        #expect(try two.count("SELECT count(*) FROM a JOIN c ON c.a_id = a.id") == 1)
        try two.execute("UPDATE a SET t = 'u'")
        try await two.sync()
        try await one.sync()
        #expect(try one.text("SELECT t FROM a") == "u")
        try one.execute("DELETE FROM a")
        try await one.sync()
        try await two.sync()
        #expect(try two.count("SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM c)") == 0)
    }

    @Test(
        "a TEXT key keeps the spelling its row has, on the device and where it is referred to",
        arguments: [
            "0000AAAA-0000-4000-8000-00000000000B", "0000AAAA00004000800000000000000B",
        ])
    func spelledKeys(spelling: String) async throws {
        let gateway = InMemoryGateway()
        let one = try Device("one", gateway)
        let two = try Device("two", gateway)
        try one.execute("INSERT INTO users (id, name) VALUES (?, 'a')", [spelling])
        try one.execute("INSERT INTO posts (id, user_id) VALUES (?, ?)", [key(2), spelling])
        try await one.sync()
        let pk = "0000aaaa-0000-4000-8000-00000000000b"
        #expect(Array(gateway.rows("users").keys) == [pk])
        try await two.sync()
        #expect(
            try two.text("SELECT u.id FROM users u JOIN posts p ON p.user_id = u.id") == spelling)
        // An edit from elsewhere that spells the key as the wire does finds the row.
        gateway.write("users", pk, #"{"id":"\#(pk)","name":"b"}"#)
        try await one.sync()
        #expect(try one.lines("SELECT id, name FROM users") == ["\(spelling)|b"])
        try one.execute("UPDATE users SET name = 'c'")
        #expect(try one.queue() == ["UPDATE|2"])
        gateway.write("users", pk, nil)
        try await two.sync()
        #expect(try two.count("SELECT count(*) FROM users") == 0)
    }

    @Test("a text key may begin with any character", arguments: ["?", "?1", "'", "\u{301}", "-"])
    func firstCharacters(text: String) async throws {
        let device = try Device(
            schema: "CREATE TABLE c (code TEXT PRIMARY KEY NOT NULL, n)",
            tables: [SyncTable("c", keyKind: .text)])
        try device.execute("INSERT INTO c VALUES (?, 1)", [text])
        try await device.sync()
        #expect(device.gateway.rows("c").keys.sorted() == [text])
        #expect(device.engine.status.rejectedCount == 0)
    }

    @Test("text keys travel as they are")
    func textKeys() async throws {
        let gateway = InMemoryGateway()
        let schema = "CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, t TEXT)"
        let tables = [SyncTable("v", keyKind: .text)]
        let one = try Device("one", gateway, schema: schema, tables: tables)
        let two = try Device("two", gateway, schema: schema, tables: tables)
        for key in ["Straße \"1\"", "a", "A", "0000AAAA00004000800000000000000B"] {
            try one.execute("INSERT INTO v (id) VALUES (?)", [key])
        }
        try one.execute("INSERT INTO v (id) VALUES (?)", [String(repeating: "x", count: 513)])
        try await one.sync()
        try await two.sync()
        #expect(
            try two.lines("SELECT id FROM v")
                == one.lines("SELECT id FROM v WHERE length(id) < 513"))
        #expect(try await one.engine.rejectedChanges.map(\.reason) == ["unsendable_key"])
    }

    @Test(
        "text with U+0000 or that is not UTF-8 steps aside, and is not sent as something else",
        arguments: [
            "'a' || char(0) || 'b'", "char(0)", "CAST(x'ff41' AS TEXT)",
            // As many bytes as the character that a string has in their place.
            "CAST(x'41f09f98' AS TEXT)",
        ])
    func unreadableText(_ text: String) async throws {
        let device = try Device()
        try device.execute(
            "INSERT INTO users (id, name) VALUES ('\(key(1))', \(text)), ('\(key(2))', 'é')")
        try await device.sync()
        let rejected = try await device.engine.rejectedChanges
        #expect(rejected.map(\.reason) == ["unsendable_value"])
        #expect(rejected.first?.message?.hasPrefix("name: the text ") == true)
        #expect(device.gateway.rows("users").keys.sorted() == [key(2)])
        try device.execute("UPDATE users SET name = 'mended' WHERE id = '\(key(1))'")
        try await device.sync()
        #expect(device.gateway.rows("users").count == 2)
    }
}
