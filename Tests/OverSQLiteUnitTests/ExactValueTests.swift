import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A column that nobody edited goes back as it came, whatever SQLite made of it.
@Suite struct ExactValueTests {
    static let types = [
        "STRING", "DECIMAL(30,10)", "NUMERIC", "REAL", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME",
        "TEXT", "VARCHAR(20)", "JSON", "BLOB", "",
    ]
    static let values = [
        #""0049123""#, #""1e3""#, #"" 7 ""#, #""+5""#, #"".5""#, #""5.""#, "1.50", "1e3", "5.0",
        "-0", "12345678901234567890.1234567891", "36893488147419103232", "9007199254740993",
        "0.1234567890123456789", #""2026-01-01T10:00:00Z""#, #"{"a":[1,2.50]}"#, "[]", "[7]",
        #""00112233-4455-6677-8899-aabbccddeeff""#, #""AP8=""#, #""00ff11""#, "null", "5",
    ]

    private func device(_ type: String, _ gateway: InMemoryGateway = InMemoryGateway()) throws
        -> Device
    {
        try Device(
            "one", gateway,
            schema: "CREATE TABLE people (id TEXT PRIMARY KEY NOT NULL, name TEXT, v \(type))",
            tables: [SyncTable("people")])
    }

    private func person(_ name: String, _ value: String) -> String {
        #"{"id":"\#(key(1))","name":"\#(name)","v":\#(value)}"#
    }

    @Test("an edit of another column sends the value as it came", arguments: types)
    func editElsewhere(type: String) async throws {
        for value in Self.values {
            let device = try device(type)
            device.gateway.write("people", key(1), person("Ann", value))
            try await device.sync()
            guard device.engine.status.heldCount == 0 else { continue }
            // Twice: the device's own version is no reason to forget it.
            for name in ["Anna", "Anne"] {
                try device.execute("UPDATE people SET name = ?", [name])
                try await device.sync()
                let isDigits = (type == "TEXT" || type == "VARCHAR(20)") && Double(value) != nil
                #expect(
                    device.gateway.rows("people")[key(1)]
                        == person(name, isDigits ? "\"\(value)\"" : value), "\(type) \(value)")
            }
            #expect(try await device.engine.rejectedChanges.isEmpty)
        }
    }

    /// In a column of `jsonb` a number, a boolean and their text are three values.
    @Test(
        "numbers and booleans of jsonb stay what they are in a TEXT column",
        arguments: ["TEXT", "", "INTEGER", "NUMERIC", "JSON", "BLOB"])
    func scalars(type: String) async throws {
        for value in ["5", "1.50", "true", "false", #""5""#, #""true""#, "null", "[1]", "-0"] {
            let gateway = InMemoryGateway()
            let columns = #"[{"name":"v","type":"jsonb","kind":"json"}]"#
            let transport = TypedGateway(
                gateway,
                #"[{"schema":"business","table":"people","read":true,"columns":\#(columns)}]"#)
            let device = try Device(
                "one", gateway,
                schema: "CREATE TABLE people (id TEXT PRIMARY KEY NOT NULL, name TEXT, v \(type))",
                tables: [SyncTable("people")], adjust: { $0.transport = transport })
            gateway.write("people", key(1), person("Ann", value))
            try await device.sync()
            guard device.engine.status.heldCount == 0 else { continue }
            try device.execute("UPDATE people SET name = 'Anna'")
            try await device.sync()
            #expect(gateway.rows("people")[key(1)] == person("Anna", value), "\(type) \(value)")
            guard type == "TEXT", value == "true" || value == "5" else { continue }
            // An edit is of the same kind where it can be.
            try device.execute("UPDATE people SET v = '7'")
            try await device.sync()
            #expect(gateway.rows("people")[key(1)] == person("Anna", "7"), "\(value)")
            gateway.write("people", key(1), person("Ann", value))
            try await device.sync()
            try device.execute("UPDATE people SET v = 'words'")
            try await device.sync()
            #expect(gateway.rows("people")[key(1)] == person("Ann", #""words""#))
        }
    }

    @Test("a column ANY of a STRICT table keeps each value, and equal values are equal")
    func anyOfStrict() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE people (id TEXT PRIMARY KEY NOT NULL, name TEXT, v ANY)
                  WITHOUT ROWID, STRICT
                """, tables: [SyncTable("people")])
        let values = [#""0049123""#, #"" 7 ""#, "5", "1.50", #""1e999""#, "[1]"]
        for (number, value) in values.enumerated() {
            device.gateway.write(
                "people", key(number), #"{"id":"\#(key(number))","name":"a","v":\#(value)}"#)
        }
        try await device.sync()
        try device.execute("UPDATE people SET name = 'b'")
        try device.execute("INSERT INTO people VALUES ('\(key(20))', 'b', '0012')")
        try await device.sync()
        for (number, value) in (values + [#""0012""#]).enumerated() {
            let key = key(number == values.count ? 20 : number)
            #expect(
                device.gateway.rows("people")[key] == #"{"id":"\#(key)","name":"b","v":\#(value)}"#)
        }
        let report = try await device.engine.verify(deep: true)
        #expect(report.isEqual, "\(report)")
    }

    @Test("an edit of the column itself is sent, and so is one that a newer value has replaced")
    func editItself() async throws {
        let device = try device("STRING")
        device.gateway.write("people", key(1), person("Ann", #""0049123""#))
        try await device.sync()
        try device.execute("UPDATE people SET v = 49124")
        try await device.sync()
        #expect(device.gateway.rows("people")[key(1)] == person("Ann", "49124"))
        device.gateway.write("people", key(1), person("Ann", #""word""#))
        try await device.sync()
        try device.execute("UPDATE people SET name = 'b'")
        try await device.sync()
        #expect(device.gateway.rows("people")[key(1)] == person("b", #""word""#))
    }

    @Test("an object in a TEXT column stays an object when the app edits it")
    func editedObject() async throws {
        let device = try device("TEXT")
        device.gateway.write("people", key(1), person("Ann", #"{"a":1}"#))
        try await device.sync()
        try device.execute("UPDATE people SET v = '{ \"a\": 2 }'")
        try await device.sync()
        #expect(device.gateway.rows("people")[key(1)] == person("Ann", #"{"a":2}"#))
        device.gateway.write("people", key(1), person("Ann", #"{"a":3}"#))
        try await device.sync()
        try device.execute("UPDATE people SET v = 'words'")
        try await device.sync()
        #expect(device.gateway.rows("people")[key(1)] == person("Ann", #""words""#))
    }

    @Test("a conflict elsewhere in the row merges, keeps the value, and reports no loss of it")
    func conflict() async throws {
        let device = try device("STRING")
        device.gateway.write("people", key(1), person("Ann", #""0049123""#))
        try await device.sync()
        try device.execute("UPDATE people SET name = 'mine'")
        device.gateway.write(
            "people", key(1), #"{"id":"\#(key(1))","name":"Ann","v":"0049123","age":7}"#)
        try await device.sync()
        #expect(
            device.gateway.rows("people")[key(1)]
                == #"{"id":"\#(key(1))","name":"mine","v":"0049123","age":7}"#)
        try device.execute("UPDATE people SET name = 'again'")
        device.gateway.write(
            "people", key(1), #"{"id":"\#(key(1))","name":"mine","v":"0049999","age":7}"#)
        try await device.sync()
        #expect(
            device.gateway.rows("people")[key(1)]
                == #"{"id":"\#(key(1))","name":"again","v":"0049999","age":7}"#)
        #expect(try await device.engine.settledConflicts.isEmpty)
    }

    @Test("a value that comes with one conflict is no edit in the next", arguments: types)
    func twoConflicts(type: String) async throws {
        for (first, second) in [
            (#""0049123""#, #""0049124""#), ("1.000000000000000000001", "2.000000000000000000001"),
            (#"" 7 ""#, #""+8""#), ("1e3", "2e3"),
        ] {
            let device = try device(type)
            device.gateway.write("people", key(1), person("Ann", "null"))
            try await device.sync()
            guard device.engine.status.heldCount == 0 else { continue }
            try device.execute("UPDATE people SET name = 'mine'")
            device.gateway.write("people", key(1), person("Ann", first))
            device.gateway.next(.upload, .loseRequest)
            await #expect(throws: SyncError.self) { try await device.sync() }
            if device.engine.status.heldCount > 0 { continue }
            device.gateway.write("people", key(1), person("Ann", second))
            try await device.sync()
            let isDigits = type == "TEXT" || type == "VARCHAR(20)"
            let value = isDigits && !second.hasPrefix("\"") ? "\"\(second)\"" : second
            #expect(
                device.gateway.rows("people")[key(1)] == person("mine", value),
                "\(type) \(second)")
            #expect(try await device.engine.settledConflicts.isEmpty, "\(type) \(second)")
        }
    }

    @Test("a discarded edit of the column goes back to the value as it came")
    func discarded() async throws {
        let device = try device("DECIMAL(30,10)")
        let digits = #""12345678901234567890.1234567891""#
        device.gateway.write("people", key(1), person("Ann", digits))
        try await device.sync()
        device.gateway.refuse("people", key(1), reason: "bad_payload")
        try device.execute("UPDATE people SET v = 1")
        try await device.sync()
        let change = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(change)
        device.gateway.refuse("people", key(1), reason: nil)
        try device.execute("UPDATE people SET name = 'b'")
        try await device.sync()
        #expect(device.gateway.rows("people")[key(1)] == person("b", digits))
    }

    @Test("signing out leaves no value behind")
    func signOut() async throws {
        let device = try device("STRING")
        device.gateway.write("people", key(1), person("Ann", #""0049123""#))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM _sync_extra") == 1)
        try await device.engine.signOut()
        #expect(try device.count("SELECT count(*) FROM _sync_extra") == 0)
    }
}
