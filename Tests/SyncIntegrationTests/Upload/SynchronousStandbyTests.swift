import LocalPostgres
import NIOCore
import Postgres
import RPC
import ServiceKit
import Testing
import TestSupport

@testable import UploadService

@Suite("Synchronous standbys that do not answer")
struct SynchronousStandbyTests {
    /// Waits in its commit as uploads do.
    private static let commit = "CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe"

    /// Triggers of the team's that would have a commit wait for nothing.
    enum Trigger: String, CaseIterable {
        case none = ""
        case ofRows = "CREATE TRIGGER hurry BEFORE INSERT ON s.notes FOR EACH ROW"
        case deferred = """
            CREATE CONSTRAINT TRIGGER hurry AFTER INSERT ON s.notes DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW
            """

        var statements: String {
            self == .none
                ? ""
                : """
                CREATE FUNCTION s.hurry() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN SET LOCAL synchronous_commit = off; RETURN NEW; END $$;
                \(rawValue) EXECUTE FUNCTION s.hurry();
                """
        }
    }

    @Test(
        "P1: no upload is acknowledged before a standby has it, at first and when it is repeated",
        arguments: [1, 3], Trigger.allCases)
    func waits(devices: Int, trigger: Trigger) async throws {
        try await TestDatabase.withCluster { cluster in
            let url = cluster.connectionURL()
            try await SyncedDatabase.prepare(url)
            let sql = try await SyncedDatabase.connect(url)
            defer { sql.close() }
            try await sql.execute(script: trigger.statements)
            let database = try SyncedDatabase(url, sql, reaching: PostgresConfiguration(url: url))
            @Sendable func upload(_ id: Int, from device: Int, within time: Duration) async throws
                -> [String]
            {
                let row = change(id, "INSERT", "notes", Self.row(id, device), "{}")
                return try await database.executor.upload(
                    ByteBuffer(string: #"{"changes":[\#(row)]}"#),
                    from: CallerIdentity(user: "ann", device: "d\(device)"),
                    .init(), deadline: .now + time
                ).result.outcomes.map(\.line)
            }
            for device in 1...devices {
                #expect(try await upload(1, from: device, within: .seconds(30)) == ["applied 1"])
            }

            try await withThrowingTaskGroup(of: Void.self) { group in
                try await database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                try await database.execute("SELECT pg_reload_conf()")
                // Commits wait once the checkpointer has read the settings.
                let other = try await SyncedDatabase.connect(url)
                defer { other.close() }
                group.addTask {
                    while !Task.isCancelled { try await other.execute(script: Self.commit) }
                }
                try await database.expectSomeWaitForStandbys()
                for _ in 1...2 {
                    try await withThrowingTaskGroup(of: Void.self) { uploads in
                        for device in 1...devices {
                            uploads.addTask {
                                await #expect(throws: RPCFailure.self) {
                                    _ = try await upload(2, from: device, within: .seconds(1))
                                }
                            }
                        }
                        try await uploads.waitForAll()
                    }
                }
                group.cancelAll()
            }

            try await database.execute("ALTER SYSTEM RESET synchronous_standby_names")
            try await database.execute("SELECT pg_reload_conf()")
            for device in 1...devices {
                #expect(try await upload(2, from: device, within: .seconds(30)) == ["applied 1"])
            }
            #expect(try await database.feed("ann").count == 2 * devices)
        }
    }

    private static func row(_ change: Int, _ device: Int) -> String { id("\(change)\(device)") }
}

extension SyncedDatabase {
    fileprivate func expectSomeWaitForStandbys() async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        let query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while try await value(query) != "t" { try #require(.now < deadline) }
    }
}
