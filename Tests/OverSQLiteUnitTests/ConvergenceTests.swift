import Foundation
import GRDB
import OverSQLiteTestSupport
import SeededRandom
import Testing

@testable import OverSQLite

/// Random edits on several devices, with lost answers and crashes, until everything is exchanged.
@Suite struct ConvergenceTests {
    static let edits = 60
    static let keys = 1...6

    @Test(
        "devices with random edits and faults end with the same rows as the gateway",
        arguments: [
            ConflictPolicy.fieldwise(), .fieldwise(clash: .server, deletion: .deletionWins),
            .serverWins, .clientWins,
        ], [1, 2, 3, 4, 5, 22] as [UInt64])
    func converge(policy: ConflictPolicy, seed: UInt64) async throws {
        try await converge(policy, seed, .uuids)
    }

    @Test(
        "devices with integer keys, random edits and faults end with the same rows as the gateway",
        arguments: [ConflictPolicy.fieldwise(), .serverWins, .clientWins], [7, 8, 9] as [UInt64])
    func convergeNumbers(policy: ConflictPolicy, seed: UInt64) async throws {
        try await converge(policy, seed, .numbers)
    }

    /// Which keys the rows have.
    enum Keys {
        case uuids, numbers

        var schema: String {
            switch self {
            case .uuids: postsAndUsers
            case .numbers:
                postsAndUsers.replacing(
                    "id TEXT PRIMARY KEY NOT NULL", with: "id INTEGER PRIMARY KEY"
                )
                .replacing("user_id TEXT", with: "user_id INTEGER")
            }
        }

        var tables: [SyncTable] {
            ["users", "posts"].map { SyncTable($0, keyKind: self == .uuids ? .uuid : .integer) }
        }

        var gateway: InMemoryGateway {
            guard self == .numbers else { return InMemoryGateway() }
            return InMemoryGateway(tables: [
                .init("users", key: .integer), .init("posts", key: .integer),
            ])
        }

        func of(_ number: Int) -> DatabaseValue {
            self == .uuids ? key(number).databaseValue : number.databaseValue
        }
    }

    private func converge(_ policy: ConflictPolicy, _ seed: UInt64, _ keys: Keys) async throws {
        var random = SeededGenerator(seed: seed)
        let gateway = keys.gateway
        let devices = try ["one", "two", "three"].map { name in
            try Device(name, gateway, schema: keys.schema, tables: keys.tables) { configuration in
                configuration.conflictPolicy = policy
                configuration.pageLimit = 3
                configuration.uploadLimit = 4
            }
        }
        for _ in 0..<Self.edits {
            let device = devices[Int.random(in: 0..<3, using: &random)]
            try Self.edit(device, &random, keys)
            try await Self.disturb(device, gateway, &random)
        }
        gateway.clearFaults()
        // Each round may send what the round before made of a conflict.
        for _ in 0..<8 {
            for device in devices {
                device.clock.advance(seconds: RetrySchedule.longest)
                try await device.sync()
            }
        }
        for device in devices {
            #expect(try device.queue().isEmpty)
            for table in ["users", "posts"] {
                let local = try device.lines("SELECT * FROM \(table) ORDER BY id")
                let first = try devices[0].lines("SELECT * FROM \(table) ORDER BY id")
                #expect(local == first, "\(device.name)")
                let names = try device.lines("SELECT id FROM \(table) ORDER BY id")
                #expect(names == gateway.rows(table).keys.sorted(), "\(device.name)")
                for (key, payload) in gateway.rows(table) {
                    #expect(try Self.localPayload(key, in: table, of: device) == payload)
                }
            }
        }
    }

    static func localPayload(_ key: String, in table: String, of device: Device) throws -> String {
        let schema = try #require(device.engine.session.catalog.table(wireName: table))
        let name = DeviceRowKey(wire: key)
        return try device.database.read { db in
            let row = try RowEncoder(db: db).encode(
                schema, local: schema.keyForm.local(name), key: name)
            guard case .payload(let bytes) = row else { return "" }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    static func edit(
        _ device: Device, _ random: inout SeededGenerator, _ kind: Keys = .uuids
    ) throws {
        let key = kind.of
        let number = Int.random(in: keys, using: &random)
        let other = Int.random(in: keys, using: &random)
        let value = Int.random(in: 0..<1000, using: &random)
        switch Int.random(in: 0..<9, using: &random) {
        case 0, 1:
            try device.execute(
                "INSERT INTO users (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                [key(number), value])
        case 2: try device.execute("UPDATE users SET age = ? WHERE id = ?", [value, key(number)])
        case 3: try device.execute("DELETE FROM users WHERE id = ?", [key(number)])
        case 4, 5:
            try device.execute(
                "INSERT OR REPLACE INTO posts (id, user_id, title) SELECT ?, id, ? FROM users WHERE id = ?",
                [key(100 + number), value, key(other)])
        case 6:
            try device.execute(
                "UPDATE posts SET likes = ? WHERE id = ?", [value, key(100 + number)])
        case 7: try device.execute("DELETE FROM posts WHERE id = ?", [key(100 + number)])
        default:
            try device.execute(
                "UPDATE posts SET title = ?, likes = ? WHERE id > ?",
                [value, value, key(100 + number)])
        }
    }

    static func disturb(
        _ device: Device, _ gateway: InMemoryGateway, _ random: inout SeededGenerator
    ) async throws {
        // A fault set up while nothing waited meets a later upload, of any device.
        do {
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try await device.sync()
            case 1: try await device.engine.fetchChanges()
            case 2: try await device.engine.sendChanges()
            case 3:
                gateway.next(.upload, .loseAnswer)
                try await device.engine.sendChanges()
            case 4:
                gateway.next(.upload, .loseAnswer)
                try? await device.engine.sendChanges()
                try device.reopen()
            default: break
            }
        } catch SyncError.unreachable {}
    }
}
