import Foundation
import GRDB
import OverSQLite
import Synchronization

/// A device in a test: a database in memory, its engine, and a clock that stands still.
///
/// ``TestDevices/add(_:user:configure:)`` makes it. It lives as long as the scope of
/// ``withTestDevices(_:tables:migrate:isolation:_:)``, whoever holds it or its parts: at the
/// scope's end its engine is stopped and its database closed, so that what is used later fails.
public final class TestDevice: Sendable {
    /// The name in its token, by which the server knows it.
    public let name: String
    /// The user in its token.
    let user: String
    /// The app's database, in memory, migrated.
    public let database: DatabaseQueue
    /// The engine, which exchanges when the test says so, or in the background after `start()`.
    public let engine: SyncEngine
    /// The time as the engine sees it.
    public let clock: ManualClock
    private let mayEndPending = Mutex(false)

    init(
        _ name: String, _ gateway: any HTTPTransport, tables: [SyncTable], user: String,
        migrate: (any DatabaseWriter) throws -> Void, configure: (inout SyncConfiguration) -> Void
    ) throws {
        self.name = name
        self.user = user
        database = try DatabaseQueue()
        try migrate(database)
        clock = ManualClock()
        guard let url = URL(string: "https://gateway.test") else { throw URLError(.badURL) }
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = gateway
        configuration.clock = clock
        configuration.randomness = { 1 }
        configure(&configuration)
        engine = try SyncEngine(
            for: database, tables: tables, configuration: configuration,
            credentials: { InMemoryGateway.token(user: user, device: name) })
    }

    /// Rows with edits that the server has not confirmed, as `table key: state`, with the reason if
    /// it refused them.
    ///
    /// - Throws: a database error.
    public func unsyncedRows() throws -> [String] {
        try database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT table_name || ' ' || key || ': ' || state || coalesce(' ' || reason, '')
                    FROM sync_row_status WHERE state <> 'synced' ORDER BY 1
                    """)
        }
    }

    /// Lets the test end with changes pending or refused, for tests of being offline.
    public func allowPendingAtEnd() { mayEndPending.withLock { $0 = true } }

    /// Ends the device. What is done with it afterwards fails.
    ///
    /// - Returns: what is left that should not be, as sentences.
    func end() async throws -> [String] {
        await engine.stop()
        let left = mayEndPending.withLock { $0 } ? [] : try unsyncedRows()
        try database.close()
        return left.isEmpty
            ? []
            : [
                "\(name) has rows that the server has not confirmed: \(left.joined(separator: ", "))"
            ]
    }
}
