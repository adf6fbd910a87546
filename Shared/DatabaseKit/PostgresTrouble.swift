import Postgres
import ServiceKit

/// Why PostgreSQL cannot be used, in words for an operator that tell one cause from another. Never has a password.
struct PostgresTrouble: CustomStringConvertible {
    private let error: PostgresError
    private let configuration: PostgresConfiguration

    init(_ error: PostgresError, _ configuration: PostgresConfiguration) {
        self.error = error
        self.configuration = configuration
    }

    var description: String {
        switch error.kind {
        case .connectFailed(_, let state?): refusal(state)
        case .connectFailed(let reason, nil): noConnection(reason)
        case .connectionLost: "the connection has ended"
        case .deadlineExceeded, .poolExhausted, .cancelled: lateText
        case .poolClosed: "the process is shutting down"
        case .server(let error): answer(error)
        case .decoding, .misuse: "gave an answer that this program does not understand: \(error)"
        }
    }

    private var lateText: String {
        "does not answer within \(ReadinessCheck.limit.wholeMilliseconds) ms"
    }

    private var role: String { configuration.keywords["user"] ?? "of this process" }
    private var database: String { configuration.keywords["dbname"] ?? role }

    /// The server is there and lets nobody in.
    private func refusal(_ state: SQLState) -> String {
        switch state {
        case .invalidPassword, .invalidAuthorization:
            "does not let the role \(role) in (SQLSTATE \(state.rawValue)): check its password, that it may "
                + "LOGIN, and pg_hba.conf"
        case .undefinedDatabase:
            "has no database \(database) (SQLSTATE \(state.rawValue)): check OVERSYNC_DATABASE_URL"
        case .insufficientPrivilege:
            "the role \(role) may not connect to the database \(database): GRANT CONNECT ON DATABASE to it"
        case .tooManyConnections:
            "takes no more connections (SQLSTATE \(state.rawValue)): raise max_connections, or lower the "
                + "services' POOL_MAX"
        case .cannotConnectNow, .adminShutdown, .crashShutdown:
            "is starting or shutting down (SQLSTATE \(state.rawValue))"
        default: "refuses connections (SQLSTATE \(state.rawValue)) at \(configuration)"
        }
    }

    /// No server answered: what libpq says is the system's own words.
    private func noConnection(_ reason: String) -> String {
        if reason.contains("Connection refused") || reason.contains("No such file or directory") {
            return "nothing listens at \(configuration): is the server running?"
        }
        if reason.contains("could not translate host name") {
            return "the name of its host is not known, at \(configuration)"
        }
        if reason.contains("server closed the connection") {
            return
                "closes connections before they are open, at \(configuration): it is starting or shutting "
                + "down, or something else listens there"
        }
        if reason.contains("timed out") {
            return "no connection to \(configuration) in time: is the host reachable?"
        }
        return "no connection to \(configuration): \(reason)"
    }

    private func answer(_ error: ServerError) -> String {
        switch error.sqlState {
        case .insufficientPrivilege:
            "the role \(role) lacks a privilege: run oversync migrate, or grant what is missing"
        case .adminShutdown, .crashShutdown, .cannotConnectNow:
            "is starting or shutting down (SQLSTATE \(error.sqlState.rawValue))"
        case .queryCanceled: lateText
        default: "answers with an error: \(self.error)"
        }
    }
}
