import Foundation
import GRDB
import OverSQLite
import Synchronization

/// A device in a test: an in-memory database, its engine, and a clock that stands still.
///
/// Make one with ``TestDevices/add(_:user:configure:)``. It lives until the end of the scope of
/// ``withTestDevices(_:tables:migrate:isolation:_:)``, even if something still holds it or its
/// parts. Then its engine is stopped and its database is closed, so any later use fails.
public final class TestDevice: Sendable {
    /// The device's name in its token, by which the server knows it.
    public let name: String
    /// The user in the device's token.
    let user: String
    /// The app's database, in memory, after its migrations.
    public let database: DatabaseQueue
    /// The engine. It syncs when the test calls it, or in the background after `start()`.
    public let engine: SyncEngine
    /// The engine's clock.
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

    /// Returns the rows with edits that the server has not confirmed, as `table key: state`,
    /// followed by the reason if the row was rejected.
    ///
    /// - Throws: a database error.
    public func unsyncedRows() throws -> [String] {
        try database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT table_name || ' ' || key || ': ' || state || coalesce(' ' || reason, '')
                    FROM sync_row_status WHERE state IN ('pending', 'rejected') ORDER BY 1
                    """)
        }
    }

    /// Allows the test to end with pending or rejected changes, for tests of being offline.
    public func allowPendingAtEnd() { mayEndPending.withLock { $0 = true } }

    /// Ends the device. Any later use of it fails.
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
