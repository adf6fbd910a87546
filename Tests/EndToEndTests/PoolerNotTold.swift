import Foundation
import LocalPostgres
import Logging
import Postgres
import Sidecar
import Testing
import TestSupport

@Suite("A pooler that a service is not told of", .timeLimit(.minutes(5)))
struct PoolerNotTold {
    /// `EX_CONFIG`: a supervisor does not try again.
    private static let wrongConfiguration: Int32 = 78

    @Test("Each service ends with one line that names the setting")
    func services() async throws {
        try await TestDatabase.withDatabase { url in
            let owner = try PostgresConfiguration(url: url)
            let connection = try await PostgresConnection.connect(
                owner, logger: Logger(label: "pooler"))
            defer { connection.close() }
            _ = try await Migrator(connection: connection).migrate()
            _ = try await RoleInstallation(connection: connection).apply()
            let pgbouncer = try await LocalPgBouncer(
                before: try #require(owner.keywords["host"]), mode: .transaction,
                roles: ServiceRole.allCases.map(\.defaultName))
            do {
                try await Self.expectRefusals(pgbouncer, try #require(owner.keywords["dbname"]))
            } catch {
                await pgbouncer.stop()
                throw error
            }
            await pgbouncer.stop()
        }
    }

    private static func expectRefusals(
        _ pgbouncer: LocalPgBouncer, _ database: String
    ) async throws {
        let folder = pgbouncer.host + "-services"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for purpose in [ServiceRole.upload, .download, .auth] {
            let name = "oversync-\(purpose.rawValue)"
            let (status, lines) = try await PortTaken.run(
                name,
                [
                    "OVERSYNC_RUN": folder + "/run", "OVERSYNC_ADMIN_PORT": "0",
                    "OVERSYNC_AUTH_MASTER_KEY": String(repeating: "m", count: 32),
                    "OVERSYNC_DATABASE_URL":
                        "postgresql:///\(database)?host=\(pgbouncer.host)&port=\(pgbouncer.port)&user=\(purpose.defaultName)",
                ])
            #expect(status == wrongConfiguration)
            let last = lines.filter { $0.contains(#""level":"critical""#) }
            #expect(last.count == 1, "\(lines)")
            #expect(
                last.first?.contains("OVERSYNC_DATABASE_POOLER is false, but") == true, "\(lines)")
        }
    }
}
