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
///     device-chaos DATABASE GATEWAY SEED STEPS KILL [TOKEN AUTHORITY]
///
/// With a token and the certificate of its authority the gateway is a real one, and the script is
/// ``BoxScript``; otherwise it is a gateway in memory, and the script is ``DeviceScript``.
///
/// Goes on with the script where the database says it was left, dies at point KILL (0: never), and at the end syncs
/// until nothing waits. Prints how many points it passed, what still waits, and its rows.
@main
struct DeviceChaos {
    /// Exchanges at the end after which something is wrong.
    private static let lastExchanges = 20

    static func main() async throws {
        guard let life = Life(CommandLine.arguments) else { exit(64) }
        let points = KillPoints(last: life.lastPoint)
        let clock = ManualClock()
        let database = try DatabasePool(path: life.database)
        database.add(transactionObserver: points, extent: .databaseLifetime)
        try await prepare(database, life.day)
        var configuration = SyncConfiguration(gateway: life.gateway, schema: "business")
        configuration.transport = PointTransport(base: try life.transport, points: points)
        configuration.clock = clock
        // Pages and uploads of a few rows, for more commits between which to die.
        configuration.pageLimit = 3
        configuration.uploadLimit = life.uploadLimit
        let engine = try SyncEngine(
            for: database, tables: life.day.tables.map { SyncTable($0) },
            configuration: configuration, credentials: { life.token })
        try await work(life.day, engine, database)
        for _ in 0..<lastExchanges {
            // Refused rows are due again.
            clock.advance(seconds: 3600)
            try await engine.syncChanges()
            if engine.status.pendingCount == 0 { break }
        }
        print("points \(points.reached)")
        print("pending \(engine.status.pendingCount) held \(engine.status.heldCount)")
        for row in try await engine.rejectedChanges {
            print("rejected \(row.table) \(row.key) \(row.reason) \(row.message ?? "")")
        }
        for row in try await engine.heldRows {
            print("held \(row.table) \(row.key) \(row.cause) \(row.reason)")
        }
        for row in try await database.read(life.day.rows) { print(row) }
        for other in try await database.read(life.day.others) { print(other) }
    }

    private static func prepare(_ database: DatabasePool, _ day: WorkingDay) async throws {
        try await database.write { db in
            if try db.tableExists("script") { return }
            try db.execute(
                sql: day.schema
                    + "CREATE TABLE script (step INTEGER); INSERT INTO script VALUES (0)")
        }
    }

    private static func work(
        _ day: WorkingDay, _ engine: SyncEngine, _ database: DatabasePool
    ) async throws {
        let done = try await database.read { db in
            try Int.fetchOne(db, sql: "SELECT step FROM script") ?? 0
        }
        for (number, step) in day.steps.enumerated().dropFirst(done) {
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
}

/// What the arguments say.
private struct Life: Sendable {
    let database: String
    let gateway: URL
    let day: WorkingDay
    let lastPoint: Int
    let token: String
    let uploadLimit: Int
    /// The certificate of a real gateway's authority.
    private let authority: String?

    init?(_ arguments: [String]) {
        guard [6, 8].contains(arguments.count), let gateway = URL(string: arguments[2]),
            let seed = UInt64(arguments[3]), let steps = Int(arguments[4]),
            let lastPoint = Int(arguments[5])
        else { return nil }
        database = arguments[1]
        self.gateway = gateway
        self.lastPoint = lastPoint
        if arguments.count == 8 {
            day = BoxScript(seed: seed, steps: steps).day
            (token, authority) = (arguments[6], arguments[7])
            // Rows that exchange their places fit into one upload.
            uploadLimit = BoxScript.mostBoxes
        } else {
            day = DeviceScript(seed: seed, steps: steps).day
            (token, authority) = (InMemoryGateway.token(device: "chaos"), nil)
            uploadLimit = 3
        }
    }

    var transport: any HTTPTransport {
        get throws {
            if let authority { return try AsyncHTTPTransport(trusting: authority) }
            return AsyncHTTPTransport(client: .shared)
        }
    }
}
