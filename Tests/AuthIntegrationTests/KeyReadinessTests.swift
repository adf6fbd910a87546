@testable import AuthService
import Logging
import Postgres
import Sidecar
import SigningKeys
import Testing
import TestSupport

@Suite("Whether Auth can sign is known at any time")
struct KeyReadinessTests {
    /// A ring that has a key, and a connection that may change everything.
    private struct Fixture {
        let ring: KeyRing
        let owner: PostgresConnection

        /// Comes back as soon as readiness says what it should.
        ///
        /// - Throws: if it does not for much longer than a second, on a busy machine.
        func expectProblem(_ isMeant: (String?) -> Bool) async throws {
            let end = ContinuousClock.now + .seconds(10)
            while true {
                let problem = await ring.problem()
                if isMeant(problem) { return }
                try #require(.now < end, "readiness says \(problem ?? "nothing")")
                // Between looks only, as the service pauses between two probes.
                try await Task.sleep(for: .milliseconds(20))
            }
        }

        func keys() async throws -> Int64 {
            try await owner.run(
                Command(
                    Statement(name: "keys", sql: "SELECT count(*) FROM oversync_auth.signing_key"))
            ).int64(0, 0)
        }
    }

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static let template = DatabaseTemplate(name: "auth_readiness") { url in
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(url: url), logger: quiet)
        defer { connection.close() }
        _ = try await Migrator(connection: connection).migrate()
        _ = try await RoleInstallation(connection: connection).apply()
    }

    private static func ring(_ url: String) throws -> KeyRing {
        let pool = PostgresPool(
            try PostgresConfiguration(
                url: TestDatabase.url(url, as: ServiceRole.auth.defaultName)),
            pool: try PoolConfiguration(), logger: quiet)
        let seals = KeySeals(current: String(repeating: "m", count: 32))
        return KeyRing(
            pool: pool, store: KeyStore(seals, by: .service("oversync-auth", on: "t")),
            logger: quiet)
    }

    private static func with(_ body: (Fixture) async throws -> Void) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            let owner = try await PostgresConnection.connect(
                PostgresConfiguration(url: url), logger: quiet)
            defer { owner.close() }
            let fixture = Fixture(ring: try ring(url), owner: owner)
            _ = try await fixture.ring.snapshot()
            #expect(await fixture.ring.problem() == nil)
            try await body(fixture)
        }
    }

    @Test("One reading is good for less than a second, with the pause between two probes")
    func limits() {
        #expect(KeyRing.probeInterval + .milliseconds(300) < .seconds(1))
    }

    @Test("Keys that were deleted are missed at once, and no probe makes others")
    func deleted() async throws {
        try await Self.with { database in
            try await database.owner.execute(script: "DELETE FROM oversync_auth.signing_key")
            try await database.expectProblem {
                $0 == "there is no active key: one is made within 15 s"
            }
            #expect(try await database.keys() == 0)
        }
    }

    @Test("A key that no longer opens is told at once, and so is one that opens again")
    func sealed() async throws {
        try await Self.with { database in
            // Done twice it is undone.
            let spoil = """
                UPDATE oversync_auth.signing_key SET sealed_private_key =
                    set_byte(sealed_private_key, 20, get_byte(sealed_private_key, 20) # 1)
                """
            try await database.owner.execute(script: spoil)
            try await database.expectProblem { $0?.contains("OVERSYNC_AUTH_MASTER_KEY") == true }
            try await database.owner.execute(script: spoil)
            try await database.expectProblem { $0 == nil }
        }
    }

    @Test("Keys that cannot be read are a problem, and the probe does not wait for them")
    func locked() async throws {
        try await Self.with { database in
            try await database.owner.execute(
                script: "BEGIN; LOCK TABLE oversync_auth.signing_key")
            try await database.expectProblem {
                $0?.hasPrefix("cannot be read: deadline exceeded") == true
            }
            try await database.owner.execute(script: "ROLLBACK")
            try await database.expectProblem { $0 == nil }
        }
    }

    @Test("A new database gets its first key from the service, not from a probe")
    func first() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            let owner = try await PostgresConnection.connect(
                PostgresConfiguration(url: url), logger: Self.quiet)
            defer { owner.close() }
            let database = Fixture(ring: try Self.ring(url), owner: owner)
            try await database.expectProblem {
                $0?.hasPrefix("there is no active key") == true
            }
            #expect(try await database.keys() == 0)
            _ = try await database.ring.snapshot()
            #expect(try await database.keys() == 1)
            try await database.expectProblem { $0 == nil }
        }
    }
}
