@testable import AuthService
@testable import DatabaseKit
@testable import DownloadService
import Foundation
import LocalPostgres
import Logging
import Model
import Postgres
import Protos
import ServiceKit
import Sidecar
import SigningKeys
import Testing
import TestSupport
@testable import UploadService

@Suite("Behind pgbouncer, with the services' roles")
struct PgBouncerTests {
    /// Roles that bring their settings, and such that do not: the copy of a database has no settings of roles.
    @Test(
        "Upload, Download, capture and Auth work",
        arguments: [LocalPgBouncer.PoolMode.session, .transaction], [true, false])
    func works(mode: LocalPgBouncer.PoolMode, rolesBringSettings: Bool) async throws {
        try await SyncedDatabase.with { direct in
            if rolesBringSettings { _ = try await RoleInstallation(connection: direct.sql).apply() }
            let backEnd = "backend_\(UInt32.random(in: 0...UInt32.max))"
            try await direct.execute(
                """
                CREATE ROLE \(backEnd) LOGIN; GRANT USAGE ON SCHEMA s TO \(backEnd);
                GRANT INSERT ON s.notes TO \(backEnd)
                """)
            try await direct.throughPgBouncer(mode, roles: [backEnd]) { configuration, database in
                try await Self.expectSettings(database, eachTransaction: mode == .transaction)
                try await Self.exchange(database, backEnd, configuration)
                try await Self.expectKeys(configuration, isPooled: mode == .transaction)
            }
        }
    }

    /// Twelve devices at once, so that sessions of the server change hands.
    private static func exchange(
        _ database: SyncedDatabase, _ backEnd: String, _ configuration: PostgresConfiguration
    ) async throws {
        let large = String(repeating: "x", count: 20_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for device in 0..<12 {
                group.addTask {
                    let key = id("\(100 + device)")
                    for round in 0..<6 {
                        let op = round == 0 ? "INSERT" : "UPDATE"
                        let payload = #"{"title":"\#(round) \#(large)"}"#
                        let outcomes = try await database.outcomes(
                            "ann", device: "d\(device)",
                            change(round + 1, op, "notes", key, base: round, payload))
                        #expect(outcomes == ["applied \(round + 1)"])
                        _ = try await database.pull("ann", device: "d\(device)")
                    }
                }
            }
            try await group.waitForAll()
        }
        var plain = configuration
        plain.keywords["user"] = backEnd
        let connection = try await PostgresConnection.connect(
            plain, logger: SyncedDatabase.logger)
        defer { connection.close() }
        try await connection.execute(
            script: "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("1"))', 'ann', 'plain')")
        let changes = try await database.download("ann")
        #expect(changes.map(\.sequence) == Array(1...73))
        #expect(changes.last?.payload?["title"] == "plain")
        await database.heads.poll()
        // One is refused: the upload is written with isolation.
        #expect(
            try await database.outcomes(
                "ann", change(7, "INSERT", "items", id("5"), #"{"n":1}"#),
                change(8, "INSERT", "items", id("6"), #"{"n":"no number"}"#))
                == ["applied 1", "materialize_error 22P02"])
    }

    private static func expectSettings(
        _ database: SyncedDatabase, eachTransaction: Bool
    ) async throws {
        for pool in [database.pool, database.downloadPool] {
            try await pool.withConnection { connection in
                #expect(connection.setsEachTransaction == eachTransaction)
                let shown = try await connection.run([
                    Command(Statement(name: "begin", sql: "BEGIN ISOLATION LEVEL REPEATABLE READ")),
                    Command(
                        Statement(
                            name: "shown",
                            sql: """
                                SELECT concat_ws(' ', current_setting('jit'), current_setting('TimeZone'),
                                    current_setting('enable_seqscan'), current_setting('plan_cache_mode'))
                                """)),
                    Command(Statement(name: "commit", sql: "COMMIT")),
                ])
                #expect(shown.count == 3)
                #expect(try shown[1].string(0, 0) == "off UTC off force_generic_plan")
                let error = await #expect(throws: PostgresError.self) {
                    try await connection.run([
                        Command(Statement(name: "one", sql: "SELECT 1")),
                        Command(Statement(name: "bad", sql: "SELECT 1/0")),
                    ])
                }
                #expect(error?.commandIndex == 1)
            }
        }
    }

    private static func expectKeys(
        _ configuration: PostgresConfiguration, isPooled: Bool
    ) async throws {
        var configuration = configuration
        configuration.keywords["user"] = ServiceRole.auth.defaultName
        configuration.serve(isPooled: isPooled)
        let store = KeyStore(
            KeySeals(current: String(repeating: "m", count: 32)),
            by: .service("oversync-auth", on: "t"))
        let pool = PostgresPool(
            configuration, pool: try PoolConfiguration(), logger: SyncedDatabase.logger)
        func kid() async throws -> String {
            try await KeyRing(pool: pool, store: store, logger: SyncedDatabase.logger).snapshot()
                .kid
        }
        #expect(try await kid() == kid())
    }

    @Test("What is in between is found out without a setting")
    func detection() async throws {
        try await SyncedDatabase.with { direct in
            var configuration = try PostgresConfiguration(url: direct.url)
            configuration.keywords["user"] = ServiceRole.download.defaultName
            #expect(try await Pooling.find(configuration) == .session)
            for (mode, pooling) in [
                (LocalPgBouncer.PoolMode.session, Pooling.session), (.transaction, .transaction),
                (.statement, .statement),
            ] {
                try await direct.throughPgBouncer(mode) { configuration, _ in
                    var configuration = configuration
                    configuration.keywords["user"] = ServiceRole.download.defaultName
                    let found = try await Pooling.find(configuration)
                    #expect(found == pooling)
                }
            }
        }
    }

    @Test(
        "A pooler that the service is not told of, or that cannot work, ends it with the setting's name"
    )
    func refused() async throws {
        try await SyncedDatabase.with { direct in
            for (mode, isTold, words) in [
                (LocalPgBouncer.PoolMode.transaction, false, "set it to true"),
                (.statement, false, "statement mode"), (.statement, true, "statement mode"),
            ] {
                try await direct.throughPgBouncer(mode) { configuration, _ in
                    var configuration = configuration
                    configuration.keywords["user"] = ServiceRole.upload.defaultName
                    let check = PoolerCheck(
                        configuration, isPooled: isTold, logger: SyncedDatabase.logger)
                    let error = await #expect(throws: ConfigurationError.self) {
                        try await check.run()
                    }
                    #expect(error?.key == "OVERSYNC_DATABASE_POOLER")
                    #expect(error?.reason.contains(words) == true)
                }
            }
        }
    }
}
