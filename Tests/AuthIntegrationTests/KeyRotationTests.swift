@testable import AuthService
import Foundation
import Logging
import Postgres
import Sidecar
import SigningKeys
import Testing
import TestSupport

@Suite("Keys follow each other without a gap")
struct KeyRotationTests {
    private static let day = 86_400.0
    private static let old = String(repeating: "o", count: 32)
    private static let new = String(repeating: "n", count: 32)
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static let template = DatabaseTemplate(name: "auth_rotation") { url in
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(url: url), logger: quiet)
        defer { connection.close() }
        _ = try await Migrator(connection: connection).migrate()
        _ = try await RoleInstallation(connection: connection).apply()
    }

    /// A database with one key, as Auth's role sees it.
    private struct Fixture {
        let url: String
        let owner: PostgresConnection
        /// As Auth's role.
        let connection: PostgresConnection
        let store = KeyStore(KeySeals(current: old), by: .service("oversync-auth", on: "t"))

        func ring(
            _ current: String = old, previous: String? = nil, rotationAge: Double? = nil
        ) throws -> KeyRing {
            let pool = PostgresPool(
                try PostgresConfiguration(
                    url: TestDatabase.url(url, as: ServiceRole.auth.defaultName)),
                pool: try PoolConfiguration(), logger: quiet)
            let seals = KeySeals(current: current, previous: previous)
            return KeyRing(
                pool: pool, store: KeyStore(seals, by: .service("oversync-auth", on: "t")),
                rotationAge: rotationAge, logger: quiet)
        }

        /// The states of all keys, those that began first before others.
        func states() async throws -> [String] {
            try await KeyStore.list(on: connection).map(\.state.rawValue)
        }

        /// Has time pass for all keys.
        func pass(_ seconds: Double) async throws {
            let past = "- make_interval(secs => \(seconds))"
            try await owner.execute(
                script: """
                    UPDATE oversync_auth.signing_key
                    SET active_from = active_from \(past), retires_at = retires_at \(past)
                    """)
        }

        func value(_ sql: String) async throws -> String? {
            try await owner.run(Command(Statement(name: "value\(sql.hashValue)", sql: sql)))
                .optionalString(0, 0)
        }

        func seals() async throws -> String? {
            try await value(
                """
                SELECT string_agg(sealed_private_key::text, ' ' ORDER BY kid)
                FROM oversync_auth.signing_key
                """)
        }

        /// What the audit has, oldest first.
        func recorded() async throws -> String? {
            try await value(
                "SELECT string_agg(action || ' ' || outcome, ', ' ORDER BY id) FROM sync.audit")
        }
    }

    private static func with(_ body: (Fixture) async throws -> Void) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            let owner = try await PostgresConnection.connect(
                PostgresConfiguration(url: url), logger: quiet)
            defer { owner.close() }
            let connection = try await PostgresConnection.connect(
                PostgresConfiguration(
                    url: TestDatabase.url(url, as: ServiceRole.auth.defaultName)), logger: quiet)
            defer { connection.close() }
            let fixture = Fixture(url: url, owner: owner, connection: connection)
            _ = try await fixture.store.createFirst(on: connection)
            try await body(fixture)
        }
    }

    @Test("A person's change that is refused or fails has its row in the audit, too")
    func failures() async throws {
        try await Self.with { database in
            _ = try await database.ring().snapshot()
            func record(
                _ action: AuditAction, _ body: () async throws -> Void
            ) async throws -> String? {
                await #expect(throws: (any Error).self) {
                    try await KeyStore.recordingFailures(
                        of: action, to: "k", by: .service("tool", on: "t"),
                        on: database.connection, body)
                }
                return try await database.value(
                    """
                    SELECT concat_ws(' ', action, target, outcome, code)
                    FROM sync.audit ORDER BY id DESC LIMIT 1
                    """)
            }
            let retired = try await record(.retireKey) {
                try await KeyStore.retire(
                    "k", .atOnce, by: .service("tool", on: "t"), on: database.connection)
            }
            #expect(retired == "key.retire k refused key_unknown")
            let other = KeyStore(KeySeals(current: Self.new), by: .service("tool", on: "t"))
            let resealed = try await record(.resealKeys) {
                _ = try await other.reseal(on: database.connection)
            }
            #expect(resealed == "key.reseal k failed SealBroken")
        }
    }

    @Test("A new key is published before it signs; the one before stays for its tokens, then goes")
    func rotation() async throws {
        try await Self.with { database in
            let first = try await database.ring().snapshot().kid
            let made = try await database.store.rotate(KeyPace(), on: database.connection)
            let second = try #require(made)
            #expect(try await database.states() == ["signing", "waiting"])
            var snapshot = try await database.ring().snapshot()
            #expect(snapshot.kid == first)
            #expect(snapshot.jwks.contains(first) && snapshot.jwks.contains(second))

            try await database.pass(KeyPace.standardLeadSeconds + 1)
            #expect(try await database.states() == ["published", "signing"])
            snapshot = try await database.ring().snapshot()
            #expect(snapshot.kid == second)
            #expect(snapshot.jwks.contains(first) && snapshot.jwks.contains(second))

            // A token of the longest life that the first key signed late has ended by then.
            try await database.pass(Self.day + 60)
            #expect(try await database.states() == ["published", "signing"])
            try await database.pass(KeyPace.graceSeconds)
            #expect(try await database.states() == ["retired", "signing"])
            snapshot = try await database.ring().snapshot()
            #expect(!snapshot.jwks.contains(first) && snapshot.jwks.contains(second))
            #expect(try await database.recorded() == "key.create done, key.rotate done")
        }
    }

    @Test("The times of a key are the database's: a replica's clock plays no part")
    func clock() {
        func key(_ isActive: Bool, _ retires: Bool = false, _ isRetired: Bool = false) -> KeyTimes {
            KeyTimes(isActive: isActive, retires: retires, isRetired: isRetired)
        }
        #expect(KeyTimes.signer(of: []) == nil)
        #expect(KeyTimes.states(of: [key(true)]) == [.signing])
        #expect(KeyTimes.states(of: [key(true), key(true)]) == [.published, .signing])
        // The newest is to retire: the one that stays signs.
        #expect(KeyTimes.states(of: [key(true), key(true, true)]) == [.signing, .published])
        // All are to retire, as while a new one waits.
        #expect(
            KeyTimes.states(of: [key(true, true), key(true, true), key(false)])
                == [.published, .signing, .waiting])
        // Before there is none, one that waits signs; one that has retired never does.
        #expect(KeyTimes.states(of: [key(true, true, true), key(false)]) == [.retired, .signing])
        #expect(KeyTimes.states(of: [key(true, true, true)]) == [.retired])
    }

    // rotate 1 .. 8   all lock the table; the first makes a key; the others find that it waits
    @Test("Of rotations at once one makes a key, and the others say that it waits")
    func atOnce() async throws {
        try await Self.with { database in
            let outcomes = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let connection = try await PostgresConnection.connect(
                            PostgresConfiguration(url: database.url), logger: Self.quiet)
                        defer { connection.close() }
                        do {
                            _ = try await database.store.rotate(KeyPace(), on: connection)
                            return "made"
                        } catch let refusal as KeyRefusal {
                            return refusal.code
                        }
                    }
                }
                return try await group.reduce(into: [String]()) { $0.append($1) }
            }
            #expect(outcomes.sorted() == Array(repeating: "key_waiting", count: 7) + ["made"])
            #expect(try await database.states() == ["signing", "waiting"])
        }
    }

    @Test("Replicas that find the newest key too old make one new key together, and not before")
    func automatic() async throws {
        try await Self.with { database in
            let age = 30 * Self.day
            func runReplicas(until isDone: () async throws -> Bool) async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 {
                        let ring = try database.ring(rotationAge: age)
                        group.addTask { try await ring.run() }
                    }
                    let end = ContinuousClock.now + .seconds(20)
                    while !(try await isDone()) {
                        try #require(.now < end)
                        await Task.yield()
                    }
                    group.cancelAll()
                }
            }
            // Each of the four has looked once.
            let looks = """
                SELECT count(*)::text FROM pg_stat_activity
                WHERE usename = '\(ServiceRole.auth.defaultName)' AND datname = current_database()
                    AND query LIKE '%oversync_auth.signing_key%'
                """
            try await database.pass(age - 60)
            try await runReplicas {
                (try await database.value(looks)).flatMap { Int($0) } ?? 0 >= 4
            }
            #expect(try await database.states() == ["signing"])
            try await database.pass(61)
            try await runReplicas { try await database.states().count > 1 }
            #expect(try await database.states() == ["signing", "waiting"])
            #expect(try await database.recorded() == "key.create done, key.rotate done")
        }
    }

    @Test(
        "A key retires only while another one signs; its tokens stay good, or end at once if asked"
    )
    func retirement() async throws {
        try await Self.with { database in
            let first = try await database.ring().snapshot().kid
            func refusal(_ kid: String) async throws -> String? {
                do {
                    try await KeyStore.retire(
                        kid, KeyPace(), by: .session(on: nil), on: database.owner)
                    return nil
                } catch let refusal as KeyRefusal {
                    return refusal.code
                }
            }
            #expect(try await refusal(first) == "key_needed")
            #expect(try await refusal("nothing") == "key_unknown")
            let second = try #require(
                try await database.store.rotate(KeyPace(), on: database.connection))
            // The new one does not sign yet.
            #expect(try await refusal(first) == "key_needed")
            #expect(try await refusal(second) == "key_needed")
            try await database.pass(KeyPace.standardLeadSeconds + 1)
            #expect(try await refusal(second) == "key_needed")
            #expect(try await refusal(first) == nil)
            #expect(try await database.states() == ["published", "signing"])
            // It does not stay longer than it would have.
            #expect(
                try await database.value(
                    """
                    SELECT (retires_at <= now() + make_interval(secs => \(Self.day) + 600))::text
                    FROM oversync_auth.signing_key ORDER BY active_from LIMIT 1
                    """) == "true")
            try await KeyStore.retire(first, .atOnce, by: .session(on: nil), on: database.owner)
            #expect(try await database.states() == ["retired", "signing"])
            #expect(try await refusal(first) == "key_retired")
            #expect(try await database.ring().snapshot().kid == second)
            #expect(
                try await database.recorded()
                    == "key.create done, key.rotate done, key.retire done, key.retire done")
        }
    }

    @Test("A key that signs no longer retires also while a new one waits")
    func leaked() async throws {
        try await Self.with { database in
            let first = try await database.ring().snapshot().kid
            for _ in 0..<2 {
                _ = try await database.store.rotate(KeyPace(), on: database.connection)
                try await database.pass(KeyPace.standardLeadSeconds + 1)
            }
            _ = try await database.store.rotate(KeyPace(), on: database.connection)
            #expect(
                try await database.states() == ["published", "published", "signing", "waiting"])
            try await KeyStore.retire(
                first, .atOnce, by: .session(on: nil), on: database.owner)
            #expect(
                try await database.states() == ["retired", "published", "signing", "waiting"])
        }
    }

    @Test("A rotation at once leaves no other key published, not even one that waits")
    func emergency() async throws {
        try await Self.with { database in
            try await database.store.rotate(KeyPace(), on: database.connection)
            try await database.store.rotate(.atOnce, on: database.connection)
            #expect(try await database.states().sorted() == ["retired", "retired", "signing"])
        }
    }

    /// ```
    /// replica 1   old ───────────────── old+new ──────────────────── new
    /// replica 2   old ─ old ─────────── old+new ───────── old+new ── new
    /// keys        a(old)    b(old)                reseal: a, b(new)
    /// ```
    @Test("A new master key takes over without a gap: each replica opens each key at each step")
    func resealing() async throws {
        try await Self.with { database in
            let both = KeyStore(
                KeySeals(current: Self.new, previous: Self.old), by: .service("s", on: "t"))
            // One replica has both already, the other does not: a key that is made now opens for
            // both.
            try await both.rotate(KeyPace(), on: database.connection)
            for ring in [
                try database.ring(Self.old), try database.ring(Self.new, previous: Self.old),
            ] {
                _ = try await ring.snapshot()
                #expect(await ring.problem() == nil)
            }
            #expect(try await both.reseal(on: database.connection).resealed == 2)
            #expect(try await both.reseal(on: database.connection).resealed == 0)
            for ring in [
                try database.ring(Self.new), try database.ring(Self.new, previous: Self.old),
            ] {
                _ = try await ring.snapshot()
                #expect(await ring.problem() == nil)
            }
            await #expect(throws: SealBroken.self) {
                _ = try await database.ring(Self.old).snapshot()
            }
            // From now on new keys have the new seal.
            try await database.pass(KeyPace.standardLeadSeconds + 1)
            try await both.rotate(KeyPace(), on: database.connection)
            _ = try await database.ring(Self.new).snapshot()
            #expect(
                try await database.recorded()
                    == """
                    key.create done, key.rotate done, key.reseal done, key.reseal done, \
                    key.rotate done
                    """)
        }
    }

    @Test("A published key that neither master key opens stops resealing; nothing has changed then")
    func wrongMasterKey() async throws {
        try await Self.with { database in
            try await database.store.rotate(KeyPace(), on: database.connection)
            let before = try await database.seals()
            let wrong = KeyStore(
                KeySeals(current: Self.new, previous: String(repeating: "w", count: 32)),
                by: .service("s", on: "t"))
            await #expect(throws: SealBroken.self) {
                try await wrong.reseal(on: database.connection)
            }
            #expect(
                try await database.seals() == before)
            #expect(try await database.recorded() == "key.create done, key.rotate done")
            // Of a retired one nobody needs the private half.
            try await database.pass(KeyPace.standardLeadSeconds + 1)
            try await database.owner.execute(
                script: """
                    UPDATE oversync_auth.signing_key SET sealed_private_key = '\\x00',
                        retires_at = now() - interval '1 day'
                    WHERE retires_at IS NOT NULL
                    """)
            let both = KeyStore(
                KeySeals(current: Self.new, previous: Self.old), by: .service("s", on: "t"))
            let (resealed, lost) = try await both.reseal(on: database.connection)
            #expect(resealed == 1 && lost.count == 1)
        }
    }
}
