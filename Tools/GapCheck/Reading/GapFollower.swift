import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP

/// A device of a user with the library as apps use it. It follows the log like the readers, and
/// compares digests at the end (promise P8).
struct GapFollower: Sendable {
    /// How long the gateway may be busy at the end.
    private static let patience: Duration = .seconds(60)
    private static let pause: Duration = .milliseconds(200)
    private static let schema = """
        CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL, label TEXT NOT NULL);
        CREATE TABLE parts (
            id INTEGER PRIMARY KEY NOT NULL,
            item_id TEXT NOT NULL REFERENCES items (id),
            n INTEGER NOT NULL,
            label TEXT NOT NULL
        );
        CREATE INDEX parts_item ON parts (item_id);
        """

    let user: GapUser
    private let database: DatabaseQueue
    private let engine: SyncEngine
    private let transport: AsyncHTTPTransport

    /// - Parameter device: lends its name and its token.
    init(user: GapUser, device: GapDevice, stack: StackAddress) throws {
        guard let gateway = URL(string: device.gateway) else {
            throw StackError("\(device.gateway) is not a URL")
        }
        self.user = user
        database = try DatabaseQueue()
        try database.write { try $0.execute(sql: Self.schema) }
        transport = try AsyncHTTPTransport(trusting: stack.authority)
        var configuration = SyncConfiguration(gateway: gateway, schema: GapTables.schema)
        configuration.transport = transport
        // It shall be there again when a killed process is.
        configuration.backoff = 0.1...2
        let token = device.token
        engine = try SyncEngine(
            for: database, tables: [SyncTable("items"), SyncTable("parts", keyKind: .integer)],
            configuration: configuration, credentials: { token })
    }

    func start() async throws { try await engine.start() }

    /// Reads the log to its end, and compares.
    ///
    /// - Parameter state: what the business tables hold.
    /// - Returns: what differs.
    func finish(comparing state: [GapRow: RowContent]) async throws -> [String] {
        await engine.stop()
        let report = try await compare()
        let rows = try await rows()
        try await transport.shutdown()
        var faults = report.tables.filter { $0.outcome != .equal }.map {
            "the digests of a device of \(user.name) differ from the log's: \($0)"
        }
        if rows != state {
            let row = Set(rows.keys).union(state.keys).first { rows[$0] != state[$0] }
            faults.append(
                "a device of \(user.name) has other rows than the business tables, such as "
                    + (row?.description ?? ""))
        }
        return faults
    }

    private func compare() async throws -> VerifyReport {
        let end = ContinuousClock.now + Self.patience
        while true {
            do { return try await engine.verify() } catch let error as SyncError {
                guard .now < end else { throw error }
                try await Task.sleep(for: Self.pause)
            }
        }
    }

    private func rows() async throws -> [GapRow: RowContent] {
        try await database.read { db in
            var state: [GapRow: RowContent] = [:]
            for (table, item) in [(GapTable.items, "''"), (.parts, "item_id")] {
                let sql = "SELECT CAST(id AS TEXT), n, label, \(item) FROM \(table.name)"
                let rows = try Row.fetchCursor(db, sql: sql)
                while let row = try rows.next() {
                    let (key, n): (String, Int64) = (row[0], row[1])
                    let (label, item): (String, String) = (row[2], row[3])
                    guard let name = GapRow(table, key: key) else { continue }
                    state[name] = RowContent(n: "\(n)".utf8, label: label.utf8, item: item.utf8)
                }
            }
            return state
        }
    }
}
