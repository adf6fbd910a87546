import Logging
import Postgres

/// Lends a connection and closes it afterwards.
///
/// - Throws: `StackError` with advice for an error that the operator can end.
package func withConnection<R>(
    to url: String, _ body: (PostgresConnection) async throws -> R
) async throws -> R {
    try await withConnection(
        to: try PostgresConfiguration(url: url, applicationName: "oversync"), body)
}

/// Lends a connection and closes it afterwards.
///
/// - Throws: `StackError` with advice for an error that the operator can end.
package func withConnection<R>(
    to configuration: PostgresConfiguration, _ body: (PostgresConnection) async throws -> R
) async throws -> R {
    do {
        let connection = try await PostgresConnection.connect(
            configuration, logger: Logger(label: "oversync"))
        defer { connection.close() }
        return try await body(connection)
    } catch let error as PostgresError {
        guard let advice = advice(error, role: configuration.keywords["user"]) else { throw error }
        throw StackError(advice)
    }
}

/// What an operator does about an error that is no fault of the data; nil for any other.
private func advice(_ error: PostgresError, role: String?) -> String? {
    guard let server = error.serverError else { return nil }
    // Of these codes the sentence names tables, columns and functions, never values.
    let sentence = "\(server.message) (\(error))"
    switch server.sqlState {
    case .undefinedTable, .undefinedColumn, .undefinedSchema, .undefinedFunction:
        return "\(sentence): if this is the right database, run oversync migrate first"
    case .insufficientPrivilege:
        let who = role.map { "the role \($0)" } ?? "the connection's role"
        return
            "\(sentence): \(who) lacks this right: GRANT it, or connect as the owner of the tables"
    case .lockNotAvailable, .deadlockDetected:
        return
            "\(sentence): other sessions are using the tables. Nothing has changed: "
            + "run the command again"
    case .readOnlyTransaction:
        return
            "\(sentence): nothing can be written there, as on a standby. Connect to the primary"
    default: return nil
    }
}
