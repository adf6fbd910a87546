import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Testing

/// An app that shows what PostgreSQL makes of its rows.
@Suite("Columns that the server makes, on a device", .timeLimit(.minutes(2)))
struct ServerMadeColumns {
    private static let registrations = """
        tables:
          - {table: business.invoices, owner: owner_id}
        """
    private static let schema = """
        CREATE SCHEMA business;
        CREATE TABLE business.invoices (id uuid PRIMARY KEY, owner_id text NOT NULL,
            total numeric(10,2), number int GENERATED ALWAYS AS IDENTITY,
            made timestamptz NOT NULL DEFAULT now(), state text NOT NULL DEFAULT 'open',
            edits int);
        CREATE FUNCTION business.count_up() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.edits := coalesce(OLD.edits, 0) + 1;
            RETURN NEW;
        END $$;
        CREATE TRIGGER count_up BEFORE INSERT OR UPDATE ON business.invoices
            FOR EACH ROW EXECUTE FUNCTION business.count_up()
        """
    private static let table = """
        CREATE TABLE invoices (id TEXT PRIMARY KEY NOT NULL, total TEXT, number INTEGER, made TEXT,
            state TEXT, edits INTEGER)
        """

    /// ```
    /// phone   insert ─ sync ─ update ─ sync
    /// ```
    @Test("a row shows what the server makes of it after one sync")
    func oneSync() async throws {
        try await withDevice { database, engine in
            try await database.insert(1)
            try await engine.syncChanges()
            #expect(try await database.row(1) == "10.01|1|open|1")
            #expect(try await database.made(1) != nil)

            try await database.execute("UPDATE invoices SET total = '20.009'")
            try await engine.syncChanges()
            #expect(try await database.row(1) == "20.01|1|open|2")
            #expect(engine.status.rejectedCount == 0)
        }
    }

    /// ```
    /// phone   insert 1 ─ sync ─ delete 1 ─ insert 1 ─ sync
    ///         insert 2 ─ send ─ update 2 ─ send ─ fetch
    /// ```
    @Test(
        "a row that is inserted again without what the server makes is sent, and gets that back"
    )
    func sentWithout() async throws {
        try await withDevice { database, engine in
            try await database.insert(1)
            try await engine.syncChanges()
            let made = try await database.made(1)

            try await database.execute("DELETE FROM invoices")
            try await database.insert(1)
            #expect(try await database.made(1) == nil)
            try await engine.syncChanges()
            #expect(try await engine.rejectedChanges.map(\.message) == [])
            #expect(try await database.row(1) == "10.01|1|open|2")
            #expect(try await database.made(1) == made)

            // The same holds for a row that is edited before the device has read it.
            try await database.insert(2)
            try await engine.sendChanges()
            try await database.execute("UPDATE invoices SET total = '3' WHERE number IS NULL")
            try await engine.sendChanges()
            #expect(try await engine.rejectedChanges.map(\.message) == [])
            try await engine.fetchChanges()
            #expect(try await database.row(2) == "3.00|2|open|2")
        }
    }

    private func withDevice(
        _ body: @escaping @Sendable (DatabaseQueue, SyncEngine) async throws -> Void
    ) async throws {
        try await withStack({ plan(in: $0, Self.registrations, Self.schema) }) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let database = try DatabaseQueue()
            try await database.execute(Self.table)
            var configuration = SyncConfiguration(
                gateway: try #require(URL(string: stack.gateway)), schema: "business")
            configuration.transport = transport
            let token = try await stack.token(user: "ann", device: "phone")
            let engine = try SyncEngine(
                for: database, tables: [SyncTable("invoices")], configuration: configuration,
                credentials: { token })
            try await body(database, engine)
            try await transport.shutdown()
        }
    }
}

extension DatabaseQueue {
    fileprivate func execute(_ sql: String) async throws {
        try await write { try $0.execute(sql: sql) }
    }

    fileprivate func insert(_ number: Int) async throws {
        try await execute(
            "INSERT INTO invoices (id, total) VALUES ('\(invoice(number))', '10.005')")
    }

    fileprivate func row(_ number: Int) async throws -> String? {
        try await value("total || '|' || number || '|' || state || '|' || edits", of: number)
    }

    fileprivate func made(_ number: Int) async throws -> String? {
        try await value("made", of: number)
    }

    private func value(_ expression: String, of number: Int) async throws -> String? {
        try await read {
            try String.fetchOne(
                $0, sql: "SELECT \(expression) FROM invoices WHERE id = '\(invoice(number))'")
        }
    }
}

private func invoice(_ number: Int) -> String { "aaaaaaaa-0000-4000-8000-00000000000\(number)" }
