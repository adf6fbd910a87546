import DatabaseKit
import Logging
import Postgres
import Synchronization
import Telemetry
import Testing
@testable import UploadService

@Suite("Upload looks at what PostgreSQL's log says of refused rows")
struct LogCheckTests {
    private final class Lines: LogOutput {
        private let lines = Mutex<[String]>([])

        var all: [String] { lines.withLock { $0 } }

        func write(_ line: [UInt8], at level: Logger.Level) {
            lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
        }
    }

    private func warnings(_ database: SyncedDatabase) async throws -> [String] {
        let lines = Lines()
        let logger = Logger(label: "test") { _ in
            JSONLogHandler(service: "upload", level: .warning, output: lines)
        }
        // A pool of its own: the settings of a role count from a connection's beginning.
        var configuration = try PostgresConfiguration(url: database.url)
        configuration.keywords["user"] = "oversync_upload"
        configuration.serve(isPooled: false)
        let pool = PostgresPool(
            configuration, pool: try PoolConfiguration(), logger: SyncedDatabase.logger)
        let running = Task { try await pool.run() }
        await LogCheck(pool: pool, logger: logger).look()
        running.cancel()
        return lines.all
    }

    @Test("It warns while the log gets the rows, and only then")
    func warning() async throws {
        try await SyncedDatabase.with { database in
            let warnings = try await warnings(database)
            #expect(warnings.count == 1)
            #expect(warnings.first?.contains("writes the rows that tables refuse") == true)
            try await database.execute(
                """
                DO $$ BEGIN EXECUTE format(
                    'ALTER ROLE oversync_upload IN DATABASE %I SET log_error_verbosity = terse',
                    current_database()); END $$
                """)
            // PostgreSQL may be set to log the parameters of statements that fail: the rows again.
            #expect(try await self.warnings(database).count == 0)
            try await database.execute(
                """
                DO $$ BEGIN EXECUTE format('ALTER ROLE oversync_upload IN DATABASE %I
                    SET log_parameter_max_length_on_error = -1', current_database()); END $$
                """)
            #expect(try await self.warnings(database).count == 1)
        }
    }
}
