import SeededRandom

/// Groups of uploads made from a seed: some whose uploads do not meet, and some whose uploads
/// meet in every way.
struct GroupWalk {
    private static let users = ["ann", "bob"]
    private static let devices = ["d1", "d2", "d3", "d4", "d5"]
    private static let tables = [
        "notes", "notes", "items", "links", "tags", "prefs", "seats",
    ]

    struct Group {
        /// Which one it is, for the test that fails.
        let name: String
        let user: String
        let members: [SyncedDatabase.Member]
    }

    private struct Row: Hashable {
        let user: String
        let table: String
        let key: String
    }

    private let seed: UInt64
    private var random: SeededGenerator
    private var count = 0
    private var lastID = 0
    private var lastKey = 0x1000
    /// Versions as devices have them in mind: as if every change had been applied.
    private var versions: [Row: Int] = [:]
    /// Rows that calm groups have made: those of earlier groups, and of the one at hand.
    private var kept: [String: [(table: String, key: String)]] = [:]
    private var made: [(table: String, key: String)] = []
    /// Rows whose values the next group trades.
    private var seats: (user: String, rows: [(key: String, n: Int)])?
    private var sent: [String: [SyncedDatabase.Member]] = [:]

    init(seed: UInt64) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
    }

    private mutating func chance(_ one: Int) -> Bool {
        Int.random(in: 0..<one, using: &random) == 0
    }

    private mutating func pick<Value>(_ values: [Value]) -> Value {
        values[Int.random(in: 0..<values.count, using: &random)]
    }

    mutating func group(epoch: String) -> Group {
        if let seats {
            self.seats = nil
            return trade(seats)
        }
        let user = pick(Self.users)
        if chance(6) { return newSeats(of: user) }
        let isCalm = chance(2)
        let count = Int.random(in: 2...6, using: &random)
        let members = (0..<count).map { place in
            var member = member(of: user, place, isCalm: isCalm)
            if chance(3) { member.epoch = epoch }
            if chance(40) { member.epoch = "00000000-0000-0000-0000-000000000000" }
            return member
        }
        self.count += 1
        kept[user, default: []] += made
        made = []
        return Group(name: "seed \(seed), group \(self.count)", user: user, members: members)
    }

    /// Rows with a unique value each, which the next group trades.
    private mutating func newSeats(of user: String) -> Group {
        let rows = (0..<Self.devices.count).map { _ in
            lastKey += 1
            return (key: id("\(lastKey)"), n: 10_000 + lastKey)
        }
        seats = (user, rows)
        let changes = rows.map { seat($0.key, base: 0, $0.n) }
        let member = SyncedDatabase.Member(
            device: Self.devices[0], changes: changes.joined(separator: ","))
        count += 1
        return Group(name: "seed \(seed), group \(count)", user: user, members: [member])
    }

    /// Uploads of rows that do not meet, which take and leave each other's values.
    private mutating func trade(_ seats: (user: String, rows: [(key: String, n: Int)])) -> Group {
        let values = seats.rows.map(\.n)
        let members = zip(Self.devices, seats.rows).map { device, row in
            var changes: [String] = []
            if chance(2) {
                lastKey += 1
                changes.append(seat(row.key, base: 1, chance(4) ? pick(values) : 10_000 + lastKey))
            }
            if chance(3) || changes.isEmpty {
                lastKey += 1
                let n = chance(2) ? pick(values) : 10_000 + lastKey
                changes.append(seat(id("\(lastKey)"), base: 0, n))
            }
            return SyncedDatabase.Member(
                device: device, changes: changes.joined(separator: ","))
        }
        count += 1
        return Group(name: "seed \(seed), group \(count)", user: seats.user, members: members)
    }

    private mutating func seat(_ key: String, base: Int, _ n: Int) -> String {
        lastID += 1
        return change(
            lastID, base == 0 ? "INSERT" : "UPDATE", "seats", key, base: base, #"{"n":\#(n)}"#)
    }

    private mutating func member(
        of user: String, _ place: Int, isCalm: Bool
    ) -> SyncedDatabase.Member {
        if !isCalm, chance(8), let old = sent[user]?.last { return old }
        let changes = (0..<Int.random(in: 1...8, using: &random)).map { _ in
            isCalm ? newRow(of: user) : edit(of: user)
        }
        let device = isCalm && place < Self.devices.count ? Self.devices[place] : pick(Self.devices)
        let member = SyncedDatabase.Member(
            device: device, changes: changes.joined(separator: ","))
        sent[user, default: []].append(member)
        return member
    }

    private mutating func newRow(of user: String) -> String {
        // Rows of earlier groups, too: tags, items and the like that nothing points to.
        if chance(4), let row = kept[user]?.popLast() {
            let version = versions[Row(user: user, table: row.table, key: row.key)] ?? 0
            return make(user, row.table, row.key, base: version, isDelete: chance(2))
        }
        lastKey += 1
        let table = pick(Self.tables)
        let isText = table == "tags" || table == "prefs"
        let key = isText ? "k\(lastKey)" : id("\(lastKey)")
        made.append((table, key))
        return make(user, table, key, base: 0, isDelete: false)
    }

    private mutating func edit(of user: String) -> String {
        let table = pick(Self.tables)
        // Tags are of all users: a key may be another's.
        let number = Int.random(in: 1...(table == "items" ? 12 : 6), using: &random)
        let isText = table == "tags" || table == "prefs"
        let own = user == "ann" || table == "tags" ? 0 : 50
        let key = isText ? "k\(number)" : id("\(number + own)")
        let known = versions[Row(user: user, table: table, key: key)] ?? 0
        return make(
            user, table, key, base: chance(8) ? Int.random(in: 0...3, using: &random) : known,
            isDelete: chance(6))
    }

    private mutating func make(
        _ user: String, _ table: String, _ key: String, base: Int, isDelete: Bool
    ) -> String {
        lastID += 1
        versions[Row(user: user, table: table, key: key)] = base + 1
        if isDelete { return change(lastID, "DELETE", table, key, base: base) }
        return change(
            lastID, base == 0 ? "INSERT" : "UPDATE", table, key, base: base, payload(user, table))
    }

    private mutating func payload(_ user: String, _ table: String) -> String {
        let number = Int.random(in: 0...99, using: &random)
        switch table {
        case "notes":
            let big = chance(4) ? #","big":1.50"# : ""
            // So long that a conflict reads it by itself.
            let title = chance(10) ? String(repeating: "\(number)", count: 600) : "\(number)"
            // Of more digits than are stored, at times.
            let fraction = chance(3) ? ".1234567" : ""
            let time = chance(4) ? #","at":"2026-01-02T03:04:05\#(fraction)+01:00""# : ""
            let stranger = chance(8) ? #","colour":"red""# : ""
            return #"{"title":"\#(title)"\#(big)\#(time)\#(stranger)}"#
        case "items", "links":
            // Out of an integer's range: PostgreSQL refuses the row.
            let value = chance(60) ? "99999999999" : "\(number)"
            let number = Int.random(in: 1...6, using: &random) + (user == "ann" ? 0 : 50)
            // A note of the same group, of another device perhaps.
            let new = chance(3) ? made.last { $0.table == "notes" }?.key : nil
            let parent = chance(3) ? "" : #","note_id":"\#(new ?? id("\(number)"))""#
            return #"{"n":\#(value)\#(parent)}"#
        case "seats":
            // Few are taken already.
            return #"{"n":\#(Int.random(in: 1...9999, using: &random))}"#
        case "tags": return #"{"label":"\#(number)"}"#
        default: return #"{"value":"\#(number)"}"#
        }
    }
}
