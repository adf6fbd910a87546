import Foundation
import Postgres
import WireJSON

/// Records what an operator does. An action that is one transaction adds its row there; one of
/// several transactions runs between two rows.
package struct AuditTrail: Sendable {
    package let origin: AuditOrigin

    package init(_ origin: AuditOrigin) {
        self.origin = origin
    }

    /// What an action came to, for its last row.
    package struct Result<Value> {
        let value: Value
        let details: JSONDocument?

        package init(_ value: Value, _ details: JSONDocument? = nil) {
            self.value = value
            self.details = details
        }
    }

    /// An action that has begun: its first row is there.
    package struct Operation: Sendable {
        private let origin: AuditOrigin
        private let action: AuditAction
        private let target: String
        private let id = UUID()

        fileprivate init(_ origin: AuditOrigin, _ action: AuditAction, of target: String) {
            self.origin = origin
            self.action = action
            self.target = target
        }

        fileprivate func begin(
            on connection: PostgresConnection, _ details: JSONDocument?
        ) async throws(PostgresError) {
            try await add(.begun, nil, details, on: connection)
        }

        /// Records what the action came to.
        package func finish(
            on connection: PostgresConnection, _ details: JSONDocument? = nil
        ) async throws(PostgresError) {
            try await add(.done, nil, details, on: connection)
        }

        /// Records the error, as far as the database still takes it: `begun` is there in any case.
        package func fail(_ error: any Error, on connection: PostgresConnection) async {
            let state = (error as? PostgresError)?.sqlState?.rawValue
            let code = state ?? "\(type(of: error))"
            try? await add(.failed, code, nil, on: connection)
        }

        private func add(
            _ outcome: AuditOutcome, _ code: String?, _ details: JSONDocument?,
            on connection: PostgresConnection
        ) async throws(PostgresError) {
            try await connection.run(
                AuditStatements.Append(
                    AuditEntry(
                        action, of: target, by: origin, outcome, code: code, details: details,
                        operation: id)))
        }
    }

    /// Writes the first row of an action of several transactions. Without it the action must not
    /// begin.
    package func begin(
        _ action: AuditAction, of target: String, _ details: JSONDocument? = nil,
        on connection: PostgresConnection
    ) async throws(PostgresError) -> Operation {
        let operation = Operation(origin, action, of: target)
        try await operation.begin(on: connection, details)
        return operation
    }

    /// Runs an action of several transactions between its two rows.
    ///
    /// - Parameters:
    ///   - details: for the first row: how it was asked for.
    ///   - connection: not within a transaction when `body` returns or throws.
    package func record<Value>(
        _ action: AuditAction, of target: String, _ details: JSONDocument? = nil,
        on connection: PostgresConnection, _ body: () async throws -> Result<Value>
    ) async throws -> Value {
        let operation = try await begin(action, of: target, details, on: connection)
        let result: Result<Value>
        do {
            result = try await body()
        } catch {
            await operation.fail(error, on: connection)
            throw error
        }
        try await operation.finish(on: connection, result.details)
        return result.value
    }
}
