import DevStack
import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import Sidecar
import Synchronization
import Testing

/// A device whose rights change, over HTTPS: by its token, and by the configuration.
@Suite("Rights change", .timeLimit(.minutes(3)))
struct RightsChange {
    private static let registrations = """
        tables:
          - {table: business.lists, owner: owner_id, read: [reader]}
          - {table: business.entries, owner: owner_id}
        """
    private static let schema = """
        CREATE SCHEMA business;
        CREATE TABLE business.lists (id uuid PRIMARY KEY, owner_id text NOT NULL, name text);
        CREATE TABLE business.entries (id uuid PRIMARY KEY, owner_id text NOT NULL, text text,
            list_id uuid REFERENCES business.lists DEFERRABLE INITIALLY DEFERRED);
        """
    private static let tables = """
        CREATE TABLE lists (id TEXT PRIMARY KEY NOT NULL, name TEXT);
        CREATE TABLE entries (id TEXT PRIMARY KEY NOT NULL, text TEXT,
            list_id TEXT REFERENCES lists (id) ON DELETE CASCADE);
        """

    /// The roles that a device's next token has.
    private final class Roles: Sendable {
        private let names: Mutex<[String]>
        init(_ names: [String]) { self.names = Mutex(names) }
        var value: [String] { names.withLock { $0 } }
        func set(_ new: [String]) { names.withLock { $0 = new } }
    }

    private struct Person {
        let database: DatabaseQueue
        let engine: SyncEngine
        let roles: Roles

        init(
            _ name: String, _ stack: StackAddress, _ transport: any HTTPTransport,
            roles given: [String]
        ) async throws {
            let (database, roles) = (try DatabaseQueue(), Roles(given))
            try await database.write { try $0.execute(sql: RightsChange.tables) }
            var configuration = SyncConfiguration(
                gateway: try #require(URL(string: stack.gateway)), schema: "business")
            configuration.transport = transport
            engine = try SyncEngine(
                for: database, tables: [SyncTable("lists"), SyncTable("entries")],
                configuration: configuration,
                credentials: {
                    try await stack.token(user: "ann", device: name, roles: roles.value)
                })
            (self.database, self.roles) = (database, roles)
        }

        func execute(_ sql: String) async throws {
            try await database.write { try $0.execute(sql: sql) }
        }

        func names(_ sql: String) async throws -> [String] {
            try await database.read { try String.fetchAll($0, sql: sql) }
        }

        var lists: [String] {
            get async throws { try await names("SELECT name FROM lists ORDER BY name") }
        }

        var entries: [String] {
            get async throws { try await names("SELECT text FROM entries ORDER BY text") }
        }

        func expectEquality(sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let report = try await engine.verify(deep: true)
            #expect(report.isEqual, "\(report)", sourceLocation: sourceLocation)
        }
    }

    private static func withPeople(
        _ body: @escaping @Sendable (StackAddress, Person, Person) async throws -> Void
    ) async throws {
        let made: (StackDirectory) -> Stack.Plan = { plan(in: $0, registrations, schema) }
        try await withStack(made) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let phone = try await Person("phone", stack, transport, roles: ["reader"])
            let laptop = try await Person("laptop", stack, transport, roles: ["reader"])
            for number in 1...3 {
                let list = UUID().uuidString.lowercased()
                try await laptop.execute(
                    """
                    INSERT INTO lists VALUES ('\(list)', 'l\(number)');
                    INSERT INTO entries VALUES
                      ('\(UUID().uuidString.lowercased())', 'e\(number)', '\(list)');
                    """)
            }
            for person in [laptop, phone] { try await person.engine.syncChanges() }
            #expect(try await phone.lists == ["l1", "l2", "l3"])
            try await body(stack, phone, laptop)
            try await transport.shutdown()
        }
    }

    /// ```
    /// phone   edit l1 ─ (role gone) ─ sync ─ edit e2 ─ sync ─ sync ─ (role back) ─ sync
    /// laptop  edit l2, delete l3 meanwhile
    /// ```
    @Test("a role that goes takes the rows with it, and brings them back with every edit")
    func byToken() async throws {
        try await Self.withPeople { _, phone, laptop in
            try await phone.execute("UPDATE lists SET name = 'mine' WHERE name = 'l1'")
            try await phone.execute(
                "INSERT INTO lists VALUES ('\(UUID().uuidString.lowercased())', 'new')"
            )
            phone.roles.set([])
            try await phone.engine.syncChanges()
            #expect(try await phone.lists == ["mine", "new"])
            let rejected = try await phone.engine.rejectedChanges
            #expect(rejected.map(\.reason) == ["forbidden_table", "forbidden_table"])
            // What referred to lists that are gone is held.
            #expect(try await phone.entries == ["e1"])
            #expect(try await phone.engine.heldRows.count == 2)

            try await laptop.execute("UPDATE lists SET name = 'l2 too' WHERE name = 'l2'")
            try await laptop.execute("DELETE FROM entries WHERE text = 'e3'")
            try await laptop.execute("DELETE FROM lists WHERE name = 'l3'")
            try await laptop.engine.syncChanges()
            try await phone.execute("UPDATE entries SET text = 'e1 too'")
            try await phone.engine.syncChanges()
            #expect(try await phone.engine.rejectedChanges.count == 2)

            phone.roles.set(["reader"])
            try await phone.engine.syncChanges()
            try await laptop.engine.syncChanges()
            for person in [phone, laptop] {
                #expect(try await person.lists == ["l2 too", "mine", "new"])
                #expect(try await person.entries == ["e1 too", "e2"])
                #expect(try await person.engine.rejectedChanges.isEmpty)
                #expect(try await person.engine.heldRows.isEmpty)
                try await person.expectEquality()
            }
        }
    }

    /// Two Download replicas and Upload take the configuration up when they look, within five
    /// seconds; devices follow the one that they meet.
    @Test("a changed configuration is followed, whichever replica has taken it up")
    func byConfiguration() async throws {
        try await Self.withPeople { stack, phone, laptop in
            try await phone.engine.start()
            for (readers, lists) in [
                ("[other]", []), ("[{user: ann, device: phone}]", ["l1", "l2", "l3"]),
                ("[{user: \"a*\", role: none}]", []), ("[reader]", ["l1", "l2", "l3"]),
            ] as [(String, [String])] {
                let file = try RegistrationFile.parse(
                    Self.registrations.replacing("[reader]", with: readers))
                try await withConnection(to: stack.database) { connection in
                    _ = try await Registration.apply(file, on: connection)
                }
                // The loop follows by itself: its watch ends.
                try await eventually(within: .seconds(60), "the rights of \(readers)") {
                    try await phone.lists == lists
                }
                #expect(try await phone.engine.rejectedChanges.isEmpty)
            }
            await phone.engine.stop()
            for person in [phone, laptop] {
                try await person.engine.syncChanges()
                #expect(try await person.entries == ["e1", "e2", "e3"])
                try await person.expectEquality()
            }
        }
    }
}
