import Logging
import Postgres
import ServiceLifecycle

/// Looks once, as soon as the database answers, whether PostgreSQL writes rows into its log that
/// business tables refuse, and warns: they are users' data, and a device can make many of them.
struct LogCheck: Service {
    /// Time between two attempts while the database does not answer.
    private static let pause: Duration = .seconds(1)

    let pool: PostgresPool
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown { await self.look() }
        // A service that returns ends the others.
        try? await gracefulShutdown()
    }

    func look() async {
        while !Task.isCancelled {
            do {
                let hasRows = try await pool.withConnection(deadline: .now + .seconds(5)) {
                    try await $0.run(ReadErrorLog()).one()
                }
                if hasRows {
                    logger.warning(
                        """
                        PostgreSQL writes the rows that tables refuse into its log: run oversync \
                        migrate as a superuser, or set log_error_verbosity to terse and \
                        log_parameter_max_length_on_error to 0 for this role
                        """)
                }
                return
            } catch {
                // The pool reports why the database does not answer.
                try? await Task.sleep(for: Self.pause)
            }
        }
    }
}
