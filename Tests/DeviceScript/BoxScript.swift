import GRDB
import SeededRandom

/// A working day with boxes that each stand in a place of their own.
///
/// They change places, in pairs and in rings; one takes the place of another that goes; one is
/// replaced by itself. The columns of the server's table have defaults, and do not keep all that is
/// sent. A box of the device's own has a new key each time. Shared boxes are never deleted; their
/// slots are the server's to give and to exchange, with a tag and a weight that the device's
/// columns cannot hold exactly.
package struct BoxScript: Sendable, CustomStringConvertible {
    package static let mostBoxes = 12
    package static let sharedBoxes = 1...3

    private static let schema = """
        CREATE TABLE boxes (
          id TEXT PRIMARY KEY NOT NULL, place INTEGER NOT NULL UNIQUE, slot INTEGER UNIQUE,
          name TEXT, price TEXT, rate REAL, packed TEXT, code TEXT, made TEXT, kind TEXT,
          tag STRING, weight REAL);
        """

    /// The business table, for a real PostgreSQL.
    package static let businessSchema = """
        CREATE SCHEMA business;
        CREATE TABLE business.boxes (
          id uuid NOT NULL, owner text NOT NULL, place int NOT NULL, slot int, name text,
          price numeric(10,2), rate real, packed timestamptz(0), code char(5),
          made timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00',
          kind text NOT NULL DEFAULT 'box', tag text, weight numeric, PRIMARY KEY (owner, id),
          UNIQUE (owner, place), UNIQUE (owner, slot) DEFERRABLE INITIALLY DEFERRED);
        """
    /// What goes with a slot, as SQL.
    package static let tag = "'00' || slot"
    package static let weight = "('1.000000000000000000' || slot)::numeric"
    /// Its entry in `oversync.yaml`.
    package static let registrations =
        "tables:\n  - {table: business.boxes, owner: owner, key: id}\n"

    /// How lines of rows show NULL.
    private static let null = "NULL"

    /// What the app writes, and what the server's columns keep of it.
    private static let rounded = [
        "1.005": "1.01", "4.004": "4.00", "0.123456789": "0.12345679", "EU": "EU   ",
        "2026-03-01T10:00:00.750Z": "2026-03-01T10:00:01+00:00",
    ]
    /// The same values in the server's words, which devices get only where others were rounded.
    private static let writtenOtherwise = [
        "2.5": "2.50", "3": "3.00", "2026-03-02T12:00:00+02:00": "2026-03-02T10:00:00+00:00",
    ]
    private static let prices = ["1.005", "2.5", "3", "4.004"]
    private static let rates = ["0.5", "0.123456789"]
    private static let times = ["2026-03-01T10:00:00.750Z", "2026-03-02T12:00:00+02:00"]
    private static let codes = ["EU", "EUROP"]

    package let seed: UInt64
    package let steps: [WorkingDay.Step]

    package init(seed: UInt64, steps count: Int) {
        var random = SeededGenerator(seed: seed)
        self.seed = seed
        steps = (1...count).map { Self.step($0, &random) }
    }

    package var description: String { "seed \(seed)" }

    package var day: WorkingDay {
        WorkingDay(
            schema: Self.schema, tables: ["boxes"], steps: steps,
            rows: { try Self.rows($0, Self.spelled) },
            storedRows: { try Self.rows($0, Self.stored) },
            others: Self.slots)
    }

    private static func rows(
        _ db: Database, _ form: (_ column: String, _ text: String) -> String
    ) throws -> [String] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT id, place, name, price, CAST(rate AS TEXT), packed, code, made, kind
                FROM boxes ORDER BY id
                """
        ).map { row in
            let values = row.map { column, value in
                form(column, String.fromDatabaseValue(value) ?? "\(value)")
            }
            return "boxes " + values.joined(separator: "|")
        }
    }

    /// A value of the app's as the server stores it.
    private static func stored(_ column: String, _ text: String) -> String {
        switch column {
        case "made" where text == null: "2026-01-01T00:00:00+00:00"
        case "kind" where text == null: "box"
        default: rounded[text] ?? spelled(column, text)
        }
    }

    private static func spelled(_ column: String, _ text: String) -> String {
        column == "place" ? text : writtenOtherwise[text] ?? text
    }

    private static func slots(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db,
            sql: "SELECT 'slot ' || id || ' ' || slot FROM boxes WHERE slot IS NOT NULL ORDER BY 1")
    }

    // MARK: Steps

    private static func step(_ number: Int, _ random: inout SeededGenerator) -> WorkingDay.Step {
        func pick(_ values: [String]) -> String {
            values[Int.random(in: 0..<values.count, using: &random)]
        }
        let values = """
            name = 's\(number)', price = '\(pick(prices))', rate = \(pick(rates)),
            packed = '\(pick(times))', code = '\(pick(codes))'
            """
        let shared = DeviceScript.key(Int.random(in: sharedBoxes, using: &random))
        let order = Int.random(in: 0..<mostBoxes, using: &random)
        let other = order + Int.random(in: 1..<mostBoxes, using: &random)
        let fresh = DeviceScript.key(100 + number)
        switch Int.random(in: 0..<18, using: &random) {
        case 0, 1: return .edit(insert(shared, number) + update(values, id: "'\(shared)'"))
        case 2, 3: return .edit(insert(fresh, number) + update(values, id: "'\(fresh)'"))
        case 4: return .edit(update(values, id: box(order)))
        case 5: return .edit("UPDATE boxes SET name = 's\(number)' WHERE id <= '\(shared)'")
        case 6, 7: return .edit(exchange([order, other]))
        case 8: return .edit(exchange([order, other, other + 1]))
        case 9: return .edit("DELETE FROM boxes WHERE id = \(ownBox(order))")
        case 10:
            // It takes the place of a box that goes, which is deleted before it is inserted.
            return .edit(
                """
                UPDATE boxes SET place = -place WHERE id = \(ownBox(order));
                INSERT INTO boxes (id, place, name)
                    SELECT '\(fresh)', -place, 's\(number)' FROM boxes WHERE place < 0;
                DELETE FROM boxes WHERE place < 0
                """)
        case 11:
            return .edit(
                """
                INSERT OR REPLACE INTO boxes (id, place, name)
                SELECT '\(fresh)', place, 's\(number)' FROM boxes WHERE id = \(ownBox(order))
                """)
        case 12:
            // The same box again, without what the server has made of it.
            return .edit(
                """
                INSERT OR REPLACE INTO boxes (id, place, name)
                SELECT id, place, 's\(number)' FROM boxes WHERE id = \(ownBox(order))
                """)
        case 13: return .fetch
        case 14: return .send
        default: return .sync
        }
    }

    /// At the end of the row, if there is room for another.
    private static func insert(_ key: String, _ number: Int) -> String {
        """
        INSERT INTO boxes (id, place, name)
        SELECT '\(key)', coalesce(max(place), 0) + 1, 's\(number)' FROM boxes
        HAVING count(*) < \(mostBoxes) - \(sharedBoxes.count)
            OR '\(key)' < '\(DeviceScript.key(100))'
        ON CONFLICT (id) DO NOTHING;

        """
    }

    private static func update(_ values: String, id: String) -> String {
        "UPDATE boxes SET \(values) WHERE id = \(id)"
    }

    /// Each box takes the place of the next, the last that of the first.
    private static func exchange(_ orders: [Int]) -> String {
        let ring = orders.map(box)
        let pairs = zip(ring, ring.dropFirst() + ring.prefix(1)).map { "(\($0), \($1))" }
        let list = ring.joined(separator: ", ")
        return """
            UPDATE boxes SET place = -o.place
            FROM boxes AS o, (VALUES \(pairs.joined(separator: ", "))) AS r
            WHERE boxes.id = r.column1 AND o.id = r.column2 AND \(ring.count) =
                (SELECT count(*) FROM boxes WHERE id IN (\(list)));
            UPDATE boxes SET place = -place WHERE place < 0
            """
    }

    /// One of the boxes that there are, by their keys.
    private static func box(_ order: Int) -> String {
        """
        (SELECT id FROM boxes ORDER BY id
            LIMIT 1 OFFSET \(order) % (SELECT max(1, count(*)) FROM boxes))
        """
    }

    /// Nobody's if it is a shared one.
    private static func ownBox(_ order: Int) -> String {
        "(SELECT id FROM boxes WHERE id = \(box(order)) AND id >= '\(DeviceScript.key(100))')"
    }
}
