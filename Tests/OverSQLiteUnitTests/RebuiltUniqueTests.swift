import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Tables that are rebuilt with other unique values: the server's cannot be written one by one
/// to learn what differs.
@Suite struct RebuiltUniqueTests {
    private static let columns = "id TEXT PRIMARY KEY NOT NULL, pos, flag TEXT, note TEXT"

    private static func row(_ number: Int, flag: Bool = true, note: String = "n") -> String {
        #"{"id":"\#(key(number))","pos":\#(number),"flag":\#(flag),"note":"\#(note)"}"#
    }

    /// Devices with steps 1 to 5.
    private static func devices(
        pos: String = "pos INTEGER NOT NULL UNIQUE"
    ) async throws -> [Device] {
        let gateway = InMemoryGateway()
        for number in 1...5 { gateway.write("steps", key(number), row(number)) }
        var devices: [Device] = []
        for name in ["one", "two"] {
            let device = try Device(
                name, gateway,
                schema: "CREATE TABLE steps (\(columns.replacing("pos", with: pos)))",
                tables: [SyncTable("steps")])
            try await device.sync()
            devices.append(device)
        }
        return devices
    }

    private static func rebuild(_ device: Device, pos: String, _ value: String) throws {
        try device.reopen { db in
            try db.execute(
                sql: """
                    CREATE TABLE n (\(columns.replacing("pos", with: pos)));
                    INSERT INTO n SELECT id, \(value), flag, note FROM steps;
                    DROP TABLE steps;
                    ALTER TABLE n RENAME TO steps;
                    """)
        }
    }

    private static func positions(_ gateway: InMemoryGateway) -> [String] {
        gateway.rows("steps").sorted { $0.key < $1.key }.map {
            $0.value.firstMatch(of: /"pos":(-?\d+)/).map { String($0.1) } ?? "-"
        }
    }

    struct Shift: Sendable, CustomTestStringConvertible {
        var pos = "pos INTEGER NOT NULL UNIQUE"
        let value: String
        let wanted: [String]

        var testDescription: String { "\(value), \(pos)" }

        static let all = [
            Shift(value: "pos + 1", wanted: ["2", "3", "4", "5", "6"]),
            Shift(value: "pos - 1", wanted: ["0", "1", "2", "3", "4"]),
            Shift(value: "6 - pos", wanted: ["5", "4", "3", "2", "1"]),
            Shift(value: "pos % 5 + 1", wanted: ["2", "3", "4", "5", "1"]),
            Shift(
                pos: "pos INTEGER UNIQUE", value: "pos + 1", wanted: ["2", "3", "4", "5", "6"]),
            Shift(
                pos: "pos INTEGER NOT NULL CHECK (pos > 1)", value: "pos + 1",
                wanted: ["2", "3", "4", "5", "6"]),
            // One row moves into a gap; the others stay, and are no edits.
            Shift(
                value: "iif(pos = 5, 9, pos)", wanted: ["1", "2", "3", "4", "9"]),
        ]
    }

    @Test("a list that is shifted while its table is made anew is sent", arguments: Shift.all)
    func shifted(shift: Shift) async throws {
        let devices = try await Self.devices()
        let gateway = devices[0].gateway
        let changed = zip(1...5, shift.wanted).filter { "\($0)" != $1 }.count
        let before = gateway.logCount()
        try Self.rebuild(devices[0], pos: shift.pos, shift.value)
        for device in devices { try await device.sync() }
        #expect(gateway.logCount() == before + changed)
        #expect(Self.positions(gateway) == shift.wanted)
        for device in devices {
            #expect(try device.lines("SELECT pos FROM steps ORDER BY id") == shift.wanted)
            #expect(try device.queue().isEmpty)
            #expect(device.engine.status.heldCount == 0)
        }
    }

    @Test("only the shifted column is an edit: others meet another device's by column")
    func byColumn() async throws {
        let devices = try await Self.devices()
        let (device, gateway) = (devices[0], devices[0].gateway)
        try Self.rebuild(device, pos: "pos INTEGER NOT NULL UNIQUE", "pos + 1")
        try await device.engine.fetchChanges()
        #expect(try device.queue().count == 5)
        for number in 1...5 {
            gateway.write("steps", key(number), Self.row(number, flag: false, note: "theirs"))
        }
        try await device.sync()
        #expect(Self.positions(gateway) == ["2", "3", "4", "5", "6"])
        #expect(
            try device.lines("SELECT pos, flag, note FROM steps ORDER BY id")
                == (2...6).map { "\($0)|0|theirs" })
        #expect(try device.queue().isEmpty)
    }

    @Test("a value that the new column can hold is taken beside an edit, in a row with NOT NULL")
    func takesExactValues() async throws {
        let schema = "CREATE TABLE codes (id TEXT PRIMARY KEY NOT NULL, pos INTEGER, code STRING)"
        let device = try Device(schema: schema, tables: [SyncTable("codes")])
        for number in 1...3 {
            device.gateway.write(
                "codes", key(number),
                #"{"id":"\#(key(number))","pos":\#(number),"code":"0049\#(number)"}"#)
        }
        try await device.sync()
        try device.reopen { db in
            try db.execute(
                sql: """
                    CREATE TABLE n (
                      id TEXT PRIMARY KEY NOT NULL, pos INTEGER NOT NULL UNIQUE, code TEXT);
                    INSERT INTO n SELECT id, pos + 1, code FROM codes;
                    DROP TABLE codes;
                    ALTER TABLE n RENAME TO codes;
                    """)
        }
        try await device.sync()
        #expect(
            try device.lines("SELECT pos, code FROM codes ORDER BY id")
                == ["2|00491", "3|00492", "4|00493"])
        let sent = device.gateway.rows("codes").values
        #expect(sent.filter { $0.contains(#""code":"0049"#) }.count == 3)
        #expect(try device.queue().isEmpty)
    }
}
