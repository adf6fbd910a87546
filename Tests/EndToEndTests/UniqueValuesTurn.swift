import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Testing

/// Lists whose positions are unique on both sides, and more rows than an upload takes.
@Suite("Unique values of many rows turn", .timeLimit(.minutes(4)))
struct UniqueValuesTurn {
    private static let registrations = """
        tables:
          - {table: business.steps, owner: owner_id}
        """
    private static let schema = """
        CREATE SCHEMA business;
        CREATE TABLE business.steps (id uuid PRIMARY KEY, owner_id text NOT NULL,
            pos int NOT NULL CHECK (pos > 0), UNIQUE (owner_id, pos))
        """

    /// ```
    /// one    1000 rows, each to the next place, the last one to the first: 50 an upload
    /// other  downloads 7 rows a page
    /// ```
    @Test("a list is turned by one and then shuffled: both devices and the server end alike")
    func list() async throws {
        try await withStack({ plan(in: $0, Self.registrations, Self.schema) }) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let one = try await ListDevice("one", stack, transport, upload: 50, page: 500)
            let other = try await ListDevice("other", stack, transport, upload: 200, page: 7)
            try await one.fill(1000)
            try await one.sync()
            try await other.sync()
            #expect(try await other.places() == one.places())

            try await one.move { count, place in place % count + 1 }
            try await one.sync()
            try await other.sync()
            #expect(try await one.rejected() == 0)
            #expect(try await other.places() == one.places())
            #expect(try await other.held() == 0)

            // Any other order: circles of all lengths, the longest longer than an upload.
            try await one.move { count, place in place * 8 % (count + 1) }
            try await one.sync()
            try await other.sync()
            #expect(try await one.rejected() == 0)
            #expect(try await other.places() == one.places())
            for device in [one, other] {
                let report = try await device.engine.verify()
                #expect(report.isEqual, "\(report)")
            }
            try await transport.shutdown()
        }
    }
}

/// An app's device with a list.
private struct ListDevice {
    let database: DatabaseQueue
    let engine: SyncEngine

    init(
        _ name: String, _ stack: StackAddress, _ transport: AsyncHTTPTransport, upload: Int,
        page: Int
    ) async throws {
        database = try DatabaseQueue()
        try await database.write { db in
            try db.execute(
                sql: "CREATE TABLE steps (id TEXT PRIMARY KEY NOT NULL, pos INTEGER UNIQUE)")
        }
        var configuration = SyncConfiguration(
            gateway: try #require(URL(string: stack.gateway)), schema: "business")
        configuration.transport = transport
        configuration.uploadLimit = upload
        configuration.pageLimit = page
        let token = try await stack.token(user: "ann", device: name)
        engine = try SyncEngine(
            for: database, tables: [SyncTable("steps")], configuration: configuration,
            credentials: { token })
    }

    func fill(_ count: Int) async throws {
        try await database.write { db in
            for number in 1...count {
                try db.execute(
                    sql: "INSERT INTO steps VALUES (?, ?)",
                    arguments: [UUID().uuidString.lowercased(), number])
            }
        }
    }

    /// Gives each row another place.
    func move(_ next: @escaping @Sendable (_ count: Int, _ place: Int) -> Int) async throws {
        try await database.write { db in
            let places = try Int.fetchAll(db, sql: "SELECT pos FROM steps ORDER BY pos")
            try db.execute(sql: "UPDATE steps SET pos = -pos")
            for place in places {
                try db.execute(
                    sql: "UPDATE steps SET pos = ? WHERE pos = ?",
                    arguments: [next(places.count, place), -place])
            }
        }
    }

    func sync() async throws { try await engine.syncChanges() }
    func rejected() async throws -> Int { engine.status.rejectedCount }
    func held() async throws -> Int { try await engine.heldRows.count }

    func places() async throws -> [String] {
        try await database.read {
            try String.fetchAll($0, sql: "SELECT id || ' ' || pos FROM steps ORDER BY id")
        }
    }
}
