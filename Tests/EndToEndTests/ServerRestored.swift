import Foundation
import GRDB
import LocalPostgres
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import Testing

@Suite("Server restored from a backup", .timeLimit(.minutes(5)))
struct ServerRestored {
    /// ```
    /// phone     writes 1…20 ── syncs ── writes, edits, deletes ── syncs ──────────── syncs: sends again
    /// laptop                 ── syncs ───────────────────────────── syncs ─ edits ─── syncs
    /// database              backup ─────────────────────────────────────── restored, new epoch
    /// ```
    @Test(
        "P7: what was confirmed after the backup comes back from the devices, and all copies end equal"
    )
    func restored() async throws {
        try await withStack { stack, postgres in
            let folder = stack.sockets + "-devices"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let phone = try await RestoredDevice("phone", stack, transport, folder)
            let laptop = try await RestoredDevice("laptop", stack, transport, folder)

            try phone.write { db in
                for number in 1...20 { try insert(number, into: db) }
            }
            try await phone.engine.syncChanges()
            try await laptop.engine.syncChanges()
            try await copy("oversync", to: "backup", postgres)

            try phone.write { db in
                for number in 21...30 { try insert(number, into: db) }
                try db.execute(sql: "UPDATE users SET name = 'edited' WHERE name IN ('1', '2')")
                try db.execute(sql: "DELETE FROM users WHERE name = '3'")
            }
            try await phone.syncUntilAnswered()
            try await laptop.syncUntilAnswered()
            let confirmed = try phone.rows()
            #expect(try laptop.rows() == confirmed)
            #expect(confirmed.count == 29)

            try await restore("backup", as: "oversync", postgres)
            try laptop.write { db in
                try db.execute(sql: "UPDATE users SET name = 'offline' WHERE name = '25'")
            }
            // The services' connections went with the database: the first requests may be told to come back.
            for device in [phone, laptop, phone] { try await device.syncUntilAnswered() }
            for device in [phone, laptop] { try await device.expectEquality() }
            try await transport.shutdown()
            let end = try phone.rows()
            #expect(try laptop.rows() == end)
            #expect(
                end
                    == confirmed.map { $0 == "25" ? "offline" : $0 }
                    .sorted())
            try await withConnection(to: stack.database) { connection in
                let names = try await connection.run(
                    Command(
                        Statement(
                            name: "names",
                            sql: "SELECT name FROM business.users ORDER BY name COLLATE \"C\"")))
                #expect(try (0..<names.rowCount).map { try names.string($0, 0) } == end)
            }
        }
    }

    private func insert(_ number: Int, into db: Database) throws {
        try db.execute(
            sql: "INSERT INTO users (id, name) VALUES (?, ?)",
            arguments: [UUID().uuidString.lowercased(), "\(number)"])
    }

    private func copy(_ name: String, to other: String, _ postgres: LocalPostgres) async throws {
        try await administer(postgres, "ALTER DATABASE \(name) ALLOW_CONNECTIONS false")
        try await administer(
            postgres,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '\(name)'"
        )
        try await administer(postgres, "CREATE DATABASE \(other) TEMPLATE \(name)")
        try await administer(postgres, "ALTER DATABASE \(name) ALLOW_CONNECTIONS true")
    }

    /// What the runbook of a restore says: the backup takes the database's place and begins a new epoch.
    private func restore(
        _ backup: String, as name: String, _ postgres: LocalPostgres
    ) async throws {
        try await withConnection(to: postgres.connectionURL(database: backup)) {
            try await $0.execute(script: "UPDATE sync.meta SET epoch = gen_random_uuid()")
        }
        try await administer(postgres, "DROP DATABASE \(name) WITH (FORCE)")
        try await administer(postgres, "ALTER DATABASE \(backup) RENAME TO \(name)")
    }

    private func administer(_ postgres: LocalPostgres, _ sql: String) async throws {
        try await withConnection(to: postgres.connectionURL()) { try await $0.execute(script: sql) }
    }
}

/// An app's device with a table of users.
struct RestoredDevice {
    /// Longest time that the gateway may be busy.
    private static let patience: Duration = .seconds(60)

    let database: DatabasePool
    let engine: SyncEngine

    init(
        _ name: String, _ stack: StackAddress, _ transport: AsyncHTTPTransport, _ folder: String
    ) async throws {
        database = try DatabasePool(path: "\(folder)/\(name).db")
        engine = try await stack.engineOfUsers(for: database, device: name, transport)
    }

    func write(_ body: (Database) throws -> Void) throws { try database.write(body) }

    func rows() throws -> [String] {
        try database.read { db in
            try String.fetchAll(db, sql: "SELECT name FROM users ORDER BY name")
        }
    }

    func syncUntilAnswered() async throws {
        let end = ContinuousClock.now + Self.patience
        while true {
            do { return try await engine.syncChanges() } catch SyncError.busy {
                try #require(.now < end, "the gateway stays busy")
            }
        }
    }
}
