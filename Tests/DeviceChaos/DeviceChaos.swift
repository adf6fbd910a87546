import AsyncHTTPClient
import DeviceScript
import Foundation
import GRDB
import Glibc
import OverSQLite
import OverSQLiteAsyncHTTP
import OverSQLiteTestSupport

/// A device in a process of its own, which tests kill.
///
///     device-chaos DATABASE GATEWAY SEED STEPS KILL
///
/// Goes on with the script where the database says it was left, dies at point KILL (0: never), and at the end syncs
/// until nothing waits. Prints how many points it passed, what still waits, and its rows.
@main
struct DeviceChaos {
    /// Exchanges at the end after which something is wrong.
    private static let lastExchanges = 20

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6, let seed = UInt64(arguments[3]), let steps = Int(arguments[4]),
            let last = Int(arguments[5]), let gateway = URL(string: arguments[2])
        else { exit(64) }
        let points = KillPoints(last: last)
        let clock = ManualClock()
        let database = try DatabasePool(path: arguments[1])
        database.add(transactionObserver: points, extent: .databaseLifetime)
        try await prepare(database)
        var configuration = SyncConfiguration(gateway: gateway, schema: "business")
        configuration.transport = PointTransport(
            base: AsyncHTTPTransport(client: .shared), points: points)
        configuration.clock = clock
        // Pages and uploads of a few rows, for more commits between which to die.
        configuration.pageLimit = 3
        configuration.uploadLimit = 3
        let engine = try SyncEngine(
            for: database, tables: [SyncTable("users"), SyncTable("posts")],
            configuration: configuration,
            credentials: { InMemoryGateway.token(device: "chaos") })
        try await work(DeviceScript(seed: seed, steps: steps), engine, database)
        for _ in 0..<lastExchanges {
            // Refused rows are due again.
            clock.advance(seconds: 3600)
            try await engine.syncChanges()
            if engine.status.pendingCount == 0 { break }
        }
        print("points \(points.reached)")
        print("pending \(engine.status.pendingCount) held \(engine.status.heldCount)")
        for row in try await database.read(DeviceScript.rows) { print(row) }
        for age in try await database.read(ages) { print(age) }
    }

    private static func prepare(_ database: DatabasePool) async throws {
        try await database.write { db in
            if try db.tableExists("script") { return }
            try db.execute(
                sql: DeviceScript.schema
                    + "CREATE TABLE script (step INTEGER); INSERT INTO script VALUES (0)")
        }
    }

    private static func work(
        _ script: DeviceScript, _ engine: SyncEngine, _ database: DatabasePool
    ) async throws {
        let done = try await database.read { db in
            try Int.fetchOne(db, sql: "SELECT step FROM script") ?? 0
        }
        for (number, step) in script.steps.enumerated().dropFirst(done) {
            switch step {
            case .edit(let sql):
                // An edit and its place in the script are one transaction, as an app's own state would be.
                try await database.write { db in
                    try db.execute(sql: sql)
                    try db.execute(sql: "UPDATE script SET step = ?", arguments: [number + 1])
                }
            case .fetch: try await engine.fetchChanges()
            case .send: try await engine.sendChanges()
            case .sync: try await engine.syncChanges()
            }
        }
    }

    private static func ages(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db, sql: "SELECT 'age ' || id || ' ' || age FROM users WHERE age IS NOT NULL ORDER BY 1"
        )
    }
}
