import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Numbers that the server leases to a device for rows that it creates.
@Suite struct LeasedKeyTests {
    private static let schema = """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, title TEXT,
          up_id INTEGER REFERENCES orders (id));
        CREATE TABLE lines (id INTEGER NOT NULL UNIQUE, note TEXT);
        """
    private static let tables = [
        SyncTable("orders", keyKind: .integer, leasesKeys: true),
        SyncTable("lines", keyColumn: "id", keyKind: .integer),
    ]

    private static func gateway() -> InMemoryGateway {
        InMemoryGateway(tables: [
            .init("orders", key: .integer, references: ["up_id": "orders"]),
            .init("lines", key: .integer),
        ])
    }

    private static func device(
        _ name: String = "one", _ gateway: InMemoryGateway = gateway()
    ) throws -> Device {
        try Device(name, gateway, schema: schema, tables: tables)
    }

    private static func leases(_ gateway: InMemoryGateway) -> Int {
        gateway.requests.filter { $0.path.hasSuffix("/sync/keys") }.count
    }

    @Test("The first sync leases numbers, and rows keep them on every device")
    func rows() async throws {
        let one = try Self.device()
        let two = try Self.device("two", one.gateway)
        one.gateway.write("orders", "41", #"{"id":41,"title":"of the server's"}"#)
        #expect(throws: SyncKeyError.noneLeft(table: "orders")) { try one.create() }
        try await one.sync()
        try await two.sync()
        let first = try one.create()
        let second = try one.create(under: first)
        let others = try two.create()
        #expect(first > 41)
        #expect(Set([first, second, others]).count == 3)
        for device in [one, two, one] { try await device.sync() }
        let rows = "SELECT id, title, up_id FROM orders ORDER BY id"
        #expect(try one.lines(rows) == two.lines(rows))
        #expect(try one.count("SELECT count(*) FROM orders") == 4)
        #expect(one.gateway.version("orders", "\(second)") == 1)
        #expect(one.engine.status.rejectedCount == 0)
    }

    @Test("Offline the device goes on with what it has, and says when that is used up")
    func offline() async throws {
        let device = try Self.device()
        try await device.sync()
        let some = KeyLeaseRules.first
        var numbers: Set<Int64> = []
        for _ in 0..<some { numbers.insert(try device.create()) }
        #expect(numbers.count == some)
        let error = #expect(throws: SyncKeyError.self) { try device.create() }
        #expect(error == .noneLeft(table: "orders"))
        #expect(error?.description.contains("sync while the server can be reached") == true)
        device.gateway.next(.keys, .loseRequest)
        try await device.sync()
        // The rows are sent all the same; and what ran out is asked for after they are.
        #expect(try device.count("SELECT count(*) FROM _sync_pending") == 0)
        try await device.sync()
        #expect(try numbers.insert(device.create()).inserted)
    }

    @Test("Half of a lease used is a reason for the next, which is larger where use is quick")
    func renewal() async throws {
        let device = try Self.device()
        try await device.sync()
        #expect(Self.leases(device.gateway) == 1)
        for _ in 0..<(KeyLeaseRules.first / 2 - 1) { _ = try device.create() }
        try await device.sync()
        #expect(Self.leases(device.gateway) == 1)
        _ = try device.create()
        try await device.sync()
        #expect(Self.leases(device.gateway) == 2)
        let asked = device.gateway.requests.last { $0.path.hasSuffix("/sync/keys") }
        #expect(asked?.body.contains(#""count":\#(KeyLeaseRules.first * 2)"#) == true)
        let left = "SELECT sum(remaining) FROM _sync_key_ranges"
        #expect(try device.value(left) == (KeyLeaseRules.first * 5 / 2).databaseValue)
    }

    @Test(
        "How many numbers are asked for",
        arguments: [
            (0, 0, 0, 20), (20, 11, 10, nil), (20, 10, 10, 40), (400, 0, 10, 500),
            (500, 0, 10, 500), (40, 20, 90_000, 40), (40, 20, -10, 40), (1, 0, 90_000, 20),
        ] as [(Int64, Int64, Double, Int64?)])
    func rules(size: Int64, left: Int64, age: Double, wanted: Int64?) {
        let standing = KeyStanding(table: 1, size: size, leasedAt: 1_000_000, left: left)
        #expect(KeyLeaseRules.wanted(of: standing, now: 1_000_000 + age) == wanted)
    }

    @Test("A rollback gives the number back; one that a deleted row had is not given again")
    func rollback() async throws {
        let device = try Self.device()
        try await device.sync()
        var undone: Int64?
        struct Undo: Error {}
        #expect(throws: Undo.self) {
            try device.database.write { db in
                undone = try db.nextSyncKey(for: "orders")
                try db.execute(sql: "INSERT INTO orders (id) VALUES (?)", arguments: [undone])
                throw Undo()
            }
        }
        let number = try device.create()
        #expect(number == undone)
        try device.execute("DELETE FROM orders")
        #expect(try device.create() == number + 1)
        try await device.sync()
        try device.reopen()
        #expect(try device.create() == number + 2)
    }

    @Test("Only tables that say so have numbers, and only tables with integer keys may")
    func notLeased() async throws {
        let device = try Self.device()
        try await device.sync()
        for table in ["lines", "nothing"] {
            #expect(throws: SyncKeyError.notLeased(table: table)) {
                try device.database.write { try $0.nextSyncKey(for: table) }
            }
        }
        #expect(throws: SyncKeyError.notLeased(table: "orders")) {
            try DatabaseQueue().write { try $0.nextSyncKey(for: "orders") }
        }
        let number = try await device.database.write { try $0.nextSyncKey(for: "Orders") }
        #expect(number > 0)
        let error = #expect(throws: SyncError.self) {
            _ = try Device(
                "two", device.gateway, tables: [SyncTable("users", leasesKeys: true)])
        }
        #expect(error?.description.contains("only integer keys can be leased") == true)
    }

    @Test("A user who signs out, a copy, and a database restored from a backup leave no numbers")
    func forgotten() async throws {
        let device = try Self.device()
        try await device.sync()
        let copy = try device.copyOfDatabase()
        for _ in 0..<3 { _ = try device.create() }
        try await device.sync()
        try device.reopen(from: copy)
        try await device.sync()
        // Those that the server knows of are given to no other row.
        let number = try device.create()
        #expect(try device.count("SELECT count(*) FROM orders") == 4)
        #expect(number > KeyLeaseRules.first)

        try await device.sync()
        try await device.engine.signOut()
        #expect(throws: SyncKeyError.noneLeft(table: "orders")) { try device.create() }
        try await device.sync()
        #expect(try device.create() > number)
    }

    @Test("Numbers of another history are not used")
    func restoredServer() async throws {
        let device = try Self.device()
        try await device.sync()
        let before = try device.create()
        try await device.sync()
        device.gateway.restore(toSequence: 0)
        try device.reopen()
        try await device.sync()
        #expect(try device.create() > before)
        try await device.sync()
        #expect(device.engine.status.rejectedCount == 0)
        let foreign =
            "SELECT count(*) FROM _sync_key_ranges WHERE epoch <> (SELECT epoch FROM _sync_state)"
        #expect(try device.count(foreign) == 0)
    }

    @Test("A server without leases is not asked, and one that has no numbers is asked later")
    func withoutLeases() async throws {
        let older = try Self.device()
        older.gateway.actLikeOlderServer()
        try await older.sync()
        #expect(Self.leases(older.gateway) == 0)

        let device = try Self.device()
        let none = #"{"epoch":"00000000-0000-4000-8000-000000000001","tables":[]}"#
        device.gateway.next(
            .keys,
            .answerInstead(
                status: 200, none, headers: ["content-type": "application/json"]))
        for _ in 0..<3 { try await device.sync() }
        #expect(Self.leases(device.gateway) == 1)
        device.clock.advance(seconds: KeyLeaseRules.pause)
        try await device.sync()
        #expect(Self.leases(device.gateway) == 2)
        _ = try device.create()
    }

    @Test(
        "An answer that is none leaves everything as it is",
        arguments: [
            "{}", "[]", #"{"epoch":"e","tables":[{"schema":"business","table":"orders"}]}"#,
            Self.answer(#"{"first":1,"count":0,"step":1}"#),
            Self.answer(#"{"first":1,"count":2,"step":0}"#),
            Self.answer(#"{"first":9223372036854775807,"count":2,"step":1}"#),
            Self.answer(#"{"first":1,"count":3,"step":9223372036854775807}"#),
            Self.answer(#"{"first":1,"count":100000000,"step":1}"#),
        ])
    func badAnswers(body: String) async throws {
        let device = try Self.device()
        device.gateway.next(
            .keys,
            .answerInstead(status: 200, body, headers: ["content-type": "application/json"]))
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM _sync_key_ranges") == 0)
        try await device.sync()
        #expect(try device.create() > 0)
    }

    private static func answer(_ range: String) -> String {
        """
        {"epoch":"00000000-0000-4000-8000-000000000001",\
        "tables":[{"schema":"business","table":"orders","ranges":[\(range)]}]}
        """
    }
}

extension Device {
    /// Creates an order with a leased number.
    @discardableResult
    fileprivate func create(under parent: Int64? = nil) throws -> Int64 {
        try database.write { db in
            let id = try db.nextSyncKey(for: "orders")
            try db.execute(
                sql: "INSERT INTO orders (id, title, up_id) VALUES (?, ?, ?)",
                arguments: [id, "of \(name)", parent])
            return id
        }
    }
}
