/// What went wrong with a connection, a command or the pool.
package struct PostgresError: Error, Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// The server refused a command.
        case server(ServerError)
        /// No connection could be made. The text is libpq's and names hosts, never passwords; the code is the
        /// server's, if it answered.
        case connectFailed(String, SQLState? = nil)
        /// The connection broke. Whether the commands took effect is unknown.
        case connectionLost
        /// The task was cancelled, and the server stopped the command or the connection was closed.
        case cancelled
        /// The deadline passed, with the same consequence.
        case deadlineExceeded
        /// Too many callers wait for a connection already, or the wait was too long.
        case poolExhausted
        /// The pool is shutting down.
        case poolClosed
        /// A value did not have the form that was asked for; the text names the column.
        case decoding(String)
        /// This code was used wrongly; nothing was sent.
        case misuse(String)
    }

    package let kind: Kind
    package var statementName: String?
    /// Which of the commands of one `run` failed; the later ones were not executed.
    package var commandIndex: Int?

    package init(_ kind: Kind, statementName: String? = nil, commandIndex: Int? = nil) {
        self.kind = kind
        self.statementName = statementName
        self.commandIndex = commandIndex
    }

    package var serverError: ServerError? {
        if case .server(let error) = kind { error } else { nil }
    }

    package var sqlState: SQLState? { serverError?.sqlState }

    /// No connection could be made, also after the time in which the pool bridges a restart.
    package var isUnreachable: Bool {
        if case .connectFailed = kind { true } else { false }
    }

    /// Repeating the whole transaction may help; nothing about its data is known to be wrong.
    package var isTransient: Bool {
        switch kind {
        case .server(let error): error.sqlState.isTransient || error.isStalePlan
        case .connectFailed, .connectionLost, .poolExhausted: true
        case .cancelled, .deadlineExceeded, .poolClosed, .decoding, .misuse: false
        }
    }

    /// The row's own values were refused; see ``SQLState/isDataTrouble``.
    package var isDataTrouble: Bool {
        sqlState?.isDataTrouble ?? false
    }

    func at(_ statement: String?, index: Int?) -> PostgresError {
        PostgresError(kind, statementName: statement, commandIndex: index)
    }
}

/// Safe to log: codes and names, never a value, a parameter or the server's own sentence.
extension PostgresError: CustomStringConvertible {
    package var description: String {
        var parts = [summary]
        if let statementName { parts.append("in \(statementName)") }
        if let constraint = serverError?.constraint { parts.append("constraint \(constraint)") }
        return parts.joined(separator: " ")
    }

    private var summary: String {
        switch kind {
        case .server(let error): "SQLSTATE \(error.sqlState.rawValue)"
        case .connectFailed(let reason, _): "connection failed: \(reason)"
        case .connectionLost: "connection lost"
        case .cancelled: "cancelled"
        case .deadlineExceeded: "deadline exceeded"
        case .poolExhausted: "no free connection"
        case .poolClosed: "pool closed"
        case .decoding(let what): "cannot decode \(what)"
        case .misuse(let what): "misuse: \(what)"
        }
    }
}
