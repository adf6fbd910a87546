@testable import AuthService
@testable import DatabaseKit
import Postgres
@testable import Sidecar
import SigningKeys
import Testing

@Suite("Statements that get no answer end by themselves", .timeLimit(.minutes(1)))
struct DeadlineTests {
    @Test("Reading the catalog, while somebody keeps it locked")
    func catalog() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("BEGIN; LOCK TABLE sync.catalog")
            let error = await #expect(throws: PostgresError.self) {
                try await database.source.refresh()
            }
            #expect(error?.kind == .deadlineExceeded)
            try await database.execute("ROLLBACK")
            try await database.source.refresh()
            #expect(database.source.known?.tables.count == SyncedDatabase.registrations.count)
        }
    }

    @Test("Making the first signing key, while its table is locked for that")
    func firstKey() async throws {
        try await Self.holding("INSERT INTO oversync_auth", as: .auth) { configuration in
            let pool = PostgresPool(
                configuration, pool: try PoolConfiguration(), logger: SyncedDatabase.logger)
            let ring = KeyRing(
                pool: pool,
                store: KeyStore(
                    KeySeals(current: String(repeating: "m", count: 32)),
                    by: .service("oversync-auth", on: "t")),
                logger: SyncedDatabase.logger)
            let error = await #expect(throws: PostgresError.self) { _ = try await ring.snapshot() }
            #expect(error?.kind == .deadlineExceeded)
        }
    }

    @Test("Looking for a pooler, when its BEGIN is not answered")
    func pooler() async throws {
        try await Self.holding("BEGIN", as: .download) { configuration in
            var plain = configuration
            plain.usesNamedStatements = false
            let connection = try await PostgresConnection.connect(
                plain, logger: SyncedDatabase.logger)
            defer { connection.close() }
            let error = await #expect(throws: PostgresError.self) {
                _ = try await Pooling.takesTransactions(connection)
            }
            #expect(error?.kind == .deadlineExceeded)
        }
    }

    /// Calls `body` with a way to a database on which the first message with this text does not
    /// arrive.
    private static func holding(
        _ text: String, as role: ServiceRole,
        _ body: @Sendable @escaping (PostgresConfiguration) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            try await database.throughProxy(holding: text, times: 1) { proxy, database in
                var configuration = try PostgresConfiguration(url: database.url)
                configuration.keywords["host"] = proxy.directory
                configuration.keywords["user"] = role.defaultName
                try await body(configuration)
            }
        }
    }
}
