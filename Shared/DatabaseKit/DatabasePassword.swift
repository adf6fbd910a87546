import LogFields
import Logging
import Postgres
import ServiceKit
import Synchronization

/// The password for the next connection: `OVERSYNC_DATABASE_PASSWORD`, else the connection string's.
///
/// Both may stand in files, which are read for each connection: a password that was changed needs no restart.
final class DatabasePassword: Sendable {
    private struct State {
        var last: String?
        /// What was wrong when it was last read, which is logged once.
        var problem: ConfigurationError?
    }

    /// Reads what the connection string has.
    typealias Given = @Sendable () throws(ConfigurationError) -> String?

    private let configuration: Configuration
    private let logger: Logger
    private let given: Given
    private let state: Mutex<State>

    /// - Parameter given: the password in the connection string.
    /// - Throws: `ConfigurationError` if it cannot be read now.
    init(
        _ configuration: Configuration, logger: Logger, given: @escaping Given
    ) throws(ConfigurationError) {
        self.configuration = configuration
        self.logger = logger
        self.given = given
        state = Mutex(State(last: try Self.read(configuration, given)))
    }

    /// The password as it is now; the last one that could be read if it cannot be read now.
    func current() -> String? {
        do throws(ConfigurationError) {
            let password = try Self.read(configuration, given)
            return state.withLock { state in
                state = State(last: password)
                return password
            }
        } catch {
            let (last, isNews) = state.withLock { state in
                defer { state.problem = error }
                return (state.last, state.problem != error)
            }
            if isNews {
                logger.error(
                    "database password not reloaded; the old value stays: \(error)",
                    metadata: .fields([.setting: "\(error.key)"]))
            }
            return last
        }
    }

    private static func read(
        _ configuration: Configuration, _ given: Given
    ) throws(ConfigurationError) -> String? {
        if let own = try configuration.optional(CommonSettings.databasePassword) { return own }
        return try given()
    }
}
