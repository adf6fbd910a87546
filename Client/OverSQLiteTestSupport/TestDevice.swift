import Foundation
import GRDB
import OverSQLite
import Synchronization

/// A device for an app's tests: a database in memory, an engine, a clock that stands still. It fails a test that
/// leaves changes pending or refused, so that no test passes by what was never sent.
///
/// ```swift
/// let gateway = InMemoryGateway()
/// let device = try TestDevice(
///     "phone", gateway, tables: [.init("notes")], migrate: AppSchema.migrate,
///     report: { Issue.record("\($0)") })              // or XCTFail($0)
/// try device.database.write { try Note(text: "milk").insert($0) }
/// try await device.engine.syncChanges()
/// ```
public final class TestDevice: Sendable {
    public let database: DatabaseQueue
    public let engine: SyncEngine
    public let clock: ManualClock
    private let report: @Sendable (String) -> Void
    private let mayEndPending = Mutex(false)

    /// - Parameters:
    ///   - name: the device's name in its token.
    ///   - gateway: an `InMemoryGateway`, or a `FaultyTransport` around one.
    ///   - user: the user in its token.
    ///   - migrate: makes the app's tables.
    ///   - configure: changes the configuration, which has the gateway and the clock already.
    ///   - report: fails the test; called when the device goes with changes left, with a text that names them.
    public init(
        _ name: String = "device", _ gateway: any HTTPTransport, tables: [SyncTable],
        user: String = "user", migrate: (Database) throws -> Void,
        configure: (inout SyncConfiguration) -> Void = { _ in },
        report: @escaping @Sendable (String) -> Void
    ) throws {
        self.report = report
        database = try DatabaseQueue()
        try database.write(migrate)
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

    deinit {
        if mayEndPending.withLock({ $0 }) { return }
        do {
            let left = try unsyncedRows()
            if !left.isEmpty {
                report("the test ends with rows that the server has not confirmed: \(left)")
            }
        } catch {
            report("whether rows are left to send could not be read: \(error)")
        }
    }

    /// Rows with edits that the server has not confirmed, as `table key: state` with the reason of a refusal.
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

    /// Lets the test end with changes pending, for tests of being offline.
    public func allowPendingAtEnd() { mayEndPending.withLock { $0 = true } }
}
