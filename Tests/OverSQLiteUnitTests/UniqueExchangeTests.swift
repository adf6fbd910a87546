import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rows from the server that exchange, move and free unique values. SQLite checks them row by row.
@Suite struct UniqueExchangeTests {
    private static let plain = "pos INTEGER NOT NULL UNIQUE"

    private static func device(
        _ columns: String, _ more: String = "",
        adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) throws -> Device {
        try Device(
            schema:
                "CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, \(columns), note TEXT);\(more)",
            tables: [SyncTable("steps")], adjust: adjust)
    }

    /// A row of the server; `value` is JSON.
    private static func step(_ number: Int, _ value: String, _ rest: String = "") -> String {
        #"{"id":"\#(key(number))","pos":\#(value)\#(rest)}"#
    }

    private static let positions = "SELECT pos FROM steps ORDER BY id"

    /// The declaration of `pos`, further SQL, and two values as JSON.
    struct Constraint: Sendable, CustomTestStringConvertible {
        var columns: String
        var more = ""
        var values = ["1", "2"]

        var testDescription: String { columns + more }

        static let all = [
            Constraint(columns: "pos INTEGER NOT NULL UNIQUE"),
            Constraint(columns: "pos INTEGER UNIQUE"),
            Constraint(columns: "pos INTEGER NOT NULL CHECK (pos > 0) UNIQUE"),
            Constraint(columns: "pos INTEGER NOT NULL UNIQUE CHECK (pos < 3)"),
            Constraint(columns: "pos REAL NOT NULL UNIQUE", values: ["0.5", "1.5"]),
            Constraint(columns: "pos TEXT NOT NULL UNIQUE", values: [#""a""#, #""b""#]),
            Constraint(
                columns: "pos TEXT NOT NULL UNIQUE CHECK (length(pos) = 3 AND pos GLOB '[A-Z]*')",
                values: [#""EUR""#, #""GBP""#]),
            Constraint(
                columns: "pos TEXT NOT NULL UNIQUE CHECK (pos IS date(pos))",
                values: [#""2026-02-28""#, #""2026-03-01""#]),
            Constraint(
                columns: "pos TEXT NOT NULL UNIQUE CHECK (json_valid(pos))",
                values: [#""{}""#, #""[]""#]),
            Constraint(columns: "pos BLOB NOT NULL UNIQUE", values: [#""AQ==""#, #""Ag==""#]),
            Constraint(
                columns: "pos INTEGER NOT NULL, list TEXT NOT NULL DEFAULT 'l'",
                more: "CREATE UNIQUE INDEX u ON steps (list, pos DESC)"),
            Constraint(
                columns: "pos INTEGER NOT NULL CHECK (pos IN (0, 1))",
                more: "CREATE UNIQUE INDEX only ON steps (pos) WHERE pos = 1",
                values: ["1", "0"]),
            Constraint(
                columns: "pos TEXT NOT NULL",
                more: "CREATE UNIQUE INDEX u ON steps (lower(pos)) WHERE note IS NULL",
                values: [#""A""#, #""b""#]),
            // The expression makes NULL a value that one row alone can have.
            Constraint(
                columns: "pos INTEGER",
                more: "CREATE UNIQUE INDEX u ON steps (coalesce(pos, -1))", values: ["1", "null"]),
            Constraint(
                columns: "pos TEXT CHECK (length(pos) = 3)",
                more: "CREATE UNIQUE INDEX u ON steps (ifnull(pos, ''))",
                values: ["null", #""abc""#]),
            Constraint(
                columns: "pos REAL", more: "CREATE UNIQUE INDEX u ON steps (ifnull(pos, 0))",
                values: ["0.5", "null"]),
        ]
    }

    @Test(
        "two rows that a back end has swapped are written together, and nothing of it is captured",
        arguments: Constraint.all)
    func swap(constraint: Constraint) async throws {
        let device = try Self.device(constraint.columns, constraint.more)
        for (number, value) in constraint.values.enumerated() {
            device.gateway.write("steps", key(number + 1), Self.step(number + 1, value))
        }
        try await device.sync()
        let before = try device.lines("SELECT quote(pos) FROM steps ORDER BY id")
        #expect(before.count == 2)
        for (number, value) in constraint.values.reversed().enumerated() {
            device.gateway.write("steps", key(number + 1), Self.step(number + 1, value))
        }
        try await device.sync()
        #expect(
            try device.lines("SELECT quote(pos) FROM steps ORDER BY id") == before.reversed())
        #expect(try await device.engine.heldRows.isEmpty)
        #expect(try device.queue().isEmpty)
        #expect(device.gateway.uploads.isEmpty)
    }

    @Test(
        "a list that is moved on by one, or shuffled, comes as a whole, whatever the page size",
        arguments: [
            (40, 1, 1000), (40, 1, 7), (40, 39, 1), (40, 17, 11), (300, 299, 1000),
        ])
    func list(rows: Int, by shift: Int, pageLimit: Int) async throws {
        let device = try Self.device(Self.plain) { $0.pageLimit = pageLimit }
        for number in 1...rows {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        let wanted = (1...rows).map { ($0 - 1 + shift) % rows + 1 }
        for (number, place) in wanted.enumerated() {
            device.gateway.write("steps", key(number + 1), Self.step(number + 1, "\(place)"))
        }
        try await device.sync()
        #expect(try device.lines(Self.positions) == wanted.map(String.init))
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.queue().isEmpty)
    }

    @Test("a row takes the value of one that is deleted, or moved away, later in the page")
    func freed() async throws {
        let device = try Self.device(Self.plain)
        for number in 1...4 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        device.gateway.write("steps", key(1), Self.step(1, "2"))
        device.gateway.write("steps", key(5), Self.step(5, "4"))
        device.gateway.write("steps", key(2), nil)
        device.gateway.write("steps", key(4), Self.step(4, "9"))
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["2", "3", "9", "4"])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test("an edit of a swapped row is kept beside it, and sent on the swapped row")
    func editBeside() async throws {
        let device = try Self.device(Self.plain)
        let note = #","note":null"#
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)", note))
        }
        try await device.sync()
        try device.execute("UPDATE steps SET note = 'mine' WHERE pos = 1")
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(3 - number)", note))
        }
        try await device.sync()
        #expect(try device.lines("SELECT pos, note FROM steps ORDER BY id") == ["2|mine", "1|-"])
        #expect(device.engine.status.heldCount == 0 && device.engine.status.pendingCount == 0)
        let sent = try #require(device.gateway.rows("steps")[key(1)])
        #expect(sent.contains(#""pos":2"#) && sent.contains(#""note":"mine""#))
        #expect(device.gateway.version("steps", key(2)) == 2)
    }

    @Test("a swapped row that was moved out of the list here takes its new position there")
    func editOfTheList() async throws {
        let device = try Self.device(
            "list TEXT NOT NULL, pos INTEGER NOT NULL",
            "CREATE UNIQUE INDEX u ON steps (list, pos)")
        func write(_ positions: [Int]) {
            for (index, position) in positions.enumerated() {
                device.gateway.write(
                    "steps", key(index + 1),
                    Self.step(index + 1, "\(position)", #","list":"a","note":null"#))
            }
        }
        write([1, 2, 3])
        try await device.sync()
        try device.execute("UPDATE steps SET list = 'b' WHERE pos = 1")
        write([2, 1, 3])
        try await device.sync()
        try await device.sync()
        #expect(device.engine.status.heldCount == 0 && device.engine.status.pendingCount == 0)
        #expect(
            try device.lines("SELECT list, pos FROM steps ORDER BY id") == ["b|2", "a|1", "a|3"])
        let sent = try #require(device.gateway.rows("steps")[key(1)])
        #expect(sent.contains(#""list":"b""#) && sent.contains(#""pos":2"#))
    }

    /// ```
    /// phone      edits both ─ upload, lost ─ page: 1, 2, 1 ─ page: 2 ─ upload: conflicts ─ …
    /// back end               swaps 1 and 2 ─ edits 1 and 2
    /// ```
    @Test("rows that were swapped and edited since their edits were sent are written together")
    func swappedBelowEdits() async throws {
        let device = try Self.device(Self.plain + ", tag TEXT") { $0.pageLimit = 3 }
        let gateway = device.gateway
        func write(_ number: Int, _ pos: Int, _ tag: String) {
            let rest = #","tag":"\#(tag)","note":null"#
            gateway.write("steps", key(number), Self.step(number, "\(pos)", rest))
        }
        for number in 1...2 { write(number, number, "-") }
        try await device.sync()
        try device.execute("UPDATE steps SET note = 'mine'")
        gateway.next(.upload, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        for tag in ["a", "b"] {
            write(1, 2, tag)
            write(2, 1, tag)
        }
        for _ in 1...3 {
            try await device.sync()
            device.clock.advance(seconds: 3600)
        }
        #expect(device.engine.status.heldCount == 0)
        #expect(device.engine.status.pendingCount == 0)
        let lines = try device.lines("SELECT pos, tag, note FROM steps ORDER BY id")
        #expect(lines == ["2|b|mine", "1|b|mine"])
        for (number, pos) in [(1, 2), (2, 1)] {
            let rest = #","tag":"b","note":"mine""#
            #expect(gateway.rows("steps")[key(number)] == Self.step(number, "\(pos)", rest))
        }
    }

    @Test("an edited position in a swapped pair is a conflict, and both devices end alike")
    func editOfThePosition() async throws {
        let gateway = InMemoryGateway()
        let device = try Device(
            "one", gateway,
            schema: "CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, \(Self.plain), note TEXT)",
            tables: [SyncTable("steps")])
        for number in 1...2 {
            gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        try device.execute("UPDATE steps SET pos = 10 WHERE pos = 1")
        for number in 1...2 {
            gateway.write("steps", key(number), Self.step(number, "\(3 - number)"))
        }
        try await device.sync()
        try await device.sync()
        #expect(device.engine.status.heldCount == 0 && device.engine.status.pendingCount == 0)
        let here = try device.lines("SELECT id, pos FROM steps ORDER BY id")
        let there = (1...2).map { number in
            let row = gateway.rows("steps")[key(number)] ?? ""
            return "\(key(number))|\(row.firstMatch(of: /"pos":(\d+)/)?.1 ?? "")"
        }
        #expect(here == there)
    }

    @Test("a row whose value another row keeps is held, and what is behind it; the index is named")
    func blocked() async throws {
        let device = try Self.device(
            "pos INTEGER NOT NULL", "CREATE UNIQUE INDEX place ON steps (pos)")
        for number in 1...3 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        // Row 3 keeps its place: the server does not have the index.
        device.gateway.write("steps", key(1), Self.step(1, "2"))
        device.gateway.write("steps", key(2), Self.step(2, "3"))
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["1", "2", "3"])
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == [key(1), key(2)])
        #expect(held.allSatisfy { $0.cause == .constraint && $0.reason.contains("place") })
        #expect(held.last?.reason.contains(key(3)) == true)
        device.gateway.write("steps", key(3), Self.step(3, "1"))
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["2", "3", "1"])
        #expect(device.engine.status.heldCount == 0)
    }

    @Test("two rows that want one value do not keep others of the set from theirs")
    func twoForOne() async throws {
        let device = try Self.device(Self.plain)
        for number in 1...4 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        for (number, place) in [(1, 2), (2, 1), (3, 5), (4, 5)] {
            device.gateway.write("steps", key(number), Self.step(number, "\(place)"))
        }
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["2", "1", "5", "4"])
        #expect(try await device.engine.heldRows.map(\.key) == [key(4)])
    }

    @Test("where no value can stand in, the set is held as a whole, and the index is named")
    func noValueToSpare() async throws {
        let device = try Self.device(
            "pos INTEGER NOT NULL CHECK (pos IN (1, 2))",
            "CREATE UNIQUE INDEX place ON steps (pos)")
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(3 - number)"))
        }
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["1", "2"])
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == [key(1), key(2)])
        #expect(held.contains { $0.reason.contains("stand in") && $0.reason.contains("place") })
        #expect(try device.queue().isEmpty)
        try device.reopen { try $0.execute(sql: "DROP INDEX place") }
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["2", "1"])
    }

    @Test("where rows refer to a swapped value, it is held, and they keep what the server says")
    func referredTo() async throws {
        let device = try Device(
            schema: """
                CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, pos TEXT UNIQUE);
                CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL,
                  pos TEXT REFERENCES steps (pos) ON UPDATE CASCADE);
                """, tables: [SyncTable("steps"), SyncTable("notes")])
        for (number, code) in [(1, "a"), (2, "b")] {
            device.gateway.write("steps", key(number), Self.step(number, "\"\(code)\""))
            device.gateway.write("notes", key(number + 10), Self.step(number + 10, "\"\(code)\""))
        }
        try await device.sync()
        for (number, code) in [(1, "b"), (2, "a")] {
            device.gateway.write("steps", key(number), Self.step(number, "\"\(code)\""))
            device.gateway.write("notes", key(number + 10), Self.step(number + 10, "\"\(code)\""))
        }
        try await device.sync()
        #expect(try device.lines(Self.positions) == ["a", "b"])
        #expect(try device.lines("SELECT pos FROM notes ORDER BY id") == ["b", "a"])
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == [key(1), key(2)])
        #expect(held.contains { $0.reason.contains("(pos)") })
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("a column that the server does not name has its value again after a swap")
    func otherColumns() async throws {
        let device = try Self.device(
            "pos INTEGER NOT NULL, place INTEGER",
            "CREATE UNIQUE INDEX u ON steps (place, pos)")
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(number)"))
        }
        try await device.sync()
        try device.execute("UPDATE steps SET place = 7")
        try await device.sync()
        for number in 1...2 {
            device.gateway.write("steps", key(number), Self.step(number, "\(3 - number)"))
        }
        try await device.sync()
        #expect(try device.lines("SELECT pos, place FROM steps ORDER BY id") == ["2|7", "1|7"])
    }
}
