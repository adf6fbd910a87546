import Traces

/// Spans of round trips to PostgreSQL. They hold the names of statements, which are the program's,
/// and neither texts nor values.
extension Traces {
    /// Begins the span of a round trip, from its sending to its last answer.
    static func roundTrip(of commands: [Command]) -> LiveSpan? {
        guard let span = child(name(of: commands), .client) else { return nil }
        span.set("db.system.name", "postgresql")
        if commands.count > 1 {
            span.set("db.operation.batch.size", commands.count)
            span.set("oversync.statements", commands.map(\.statement.name))
        }
        return span
    }

    private static func name(of commands: [Command]) -> String {
        let first = commands.first?.statement.name ?? "nothing"
        return commands.count > 1 ? "\(first) +\(commands.count - 1)" : first
    }
}

extension LiveSpan {
    /// The server's code, if it has refused; the statement, and nothing that the server quotes.
    func fail(_ error: PostgresError) {
        if let state = error.sqlState {
            set("db.response.status_code", state.rawValue)
            fail(state.rawValue)
        } else {
            fail(error.kind.spanCode)
        }
        if let name = error.statementName { set("oversync.statement", name) }
    }
}

extension PostgresError.Kind {
    fileprivate var spanCode: String {
        switch self {
        case .connectFailed: "connect_failed"
        case .connectionLost: "connection_lost"
        case .deadlineExceeded: "deadline_exceeded"
        case .cancelled: "cancelled"
        case .poolExhausted: "pool_exhausted"
        case .poolClosed: "pool_closed"
        default: "other"
        }
    }
}

extension Command {
    /// The same with a comment after its text.
    func commented(_ comment: String) -> Command {
        Command(
            Statement(
                name: statement.name, sql: statement.sql + " " + comment,
                parameters: statement.parameters, results: statement.results), bindings)
    }
}
