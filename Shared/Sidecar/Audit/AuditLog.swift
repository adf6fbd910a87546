import Postgres
import WireJSON

/// Which rows of the audit to read.
package struct AuditQuery: Sendable {
    /// Most rows of one answer.
    package static let maximumRows = 10_000

    /// A time as PostgreSQL reads it; nil for any.
    package var since: String?
    /// Only rows that are younger than this, in seconds; nil for any age.
    package var age: Int64?
    /// Empty for all.
    package var action = ""
    /// Only rows with smaller numbers: the cursor of a former answer; 0 for any.
    package var before: Int64 = 0
    package var limit = 100

    package init() {}
}

/// One row of the audit as it is read. Older versions and operators write others than
/// ``AuditEntry``.
package struct AuditRow: Hashable, Sendable {
    package let id: Int64
    /// In UTC.
    package let at: String
    package let actor: String
    package let actorKind: String?
    package let issuer: String?
    package let host: String?
    package let databaseRole: String?
    package let action: String
    package let target: String
    package let outcome: String
    package let code: String?
    /// JSON.
    package let details: String?
    package let operation: String?

    /// A JSON object without the members that the row lacks.
    package var document: JSONDocument {
        [
            "id": .integer(id), "at": .string(at), "actor": .string(actor),
            "actor_kind": actorKind.map { .string($0) }, "issuer": issuer.map { .string($0) },
            "host": host.map { .string($0) }, "database_role": databaseRole.map { .string($0) },
            "action": .string(action), "target": .string(target), "outcome": .string(outcome),
            "code": code.map { .string($0) },
            "details": details.map { .written(Self.compact($0)) },
            "operation": operation.map { .string($0) },
        ]
    }

    /// On one line, as what an operator wrote need not be.
    private static func compact(_ json: String) -> String {
        var bytes: [UInt8] = []
        var json = json
        json.withUTF8 { bytes.append(compacting: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Reads the audit and prunes it.
package struct AuditLog {
    /// Days that rows stay, whatever is asked for (`sync.prune_audit`).
    package static let minimumDays = 30
    /// Rows that go in one transaction.
    static let batchRows: Int64 = 5000

    private let connection: PostgresConnection

    package init(connection: PostgresConnection) {
        self.connection = connection
    }

    /// - Returns: the newest rows that fit, oldest first, and whether there are older ones.
    package func read(
        _ query: AuditQuery
    ) async throws(PostgresError) -> (rows: [AuditRow], hasMore: Bool) {
        let rows = try await connection.run(AuditStatements.Read(query: query)).all()
        return (rows.prefix(query.limit).reversed(), rows.count > query.limit)
    }

    /// Removes rows that are older than `age` seconds, in small transactions.
    ///
    /// - Returns: how many.
    package func prune(olderThan age: Int64) async throws(PostgresError) -> Int64 {
        var total: Int64 = 0
        while true {
            let removed = try await connection.run(
                AuditStatements.Prune(age: age, limit: Self.batchRows)
            ).one()
            total += removed
            if removed < Self.batchRows { return total }
        }
    }
}
