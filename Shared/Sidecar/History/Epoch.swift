import Postgres
import WireJSON

/// The identity of a database's history. It changes only where nothing of the old one holds.
package struct Epoch: Hashable, Sendable {
    package let id: String
    /// When the sidecar was made, as in RFC 3339, in UTC.
    package let created: String
    /// When this epoch began; nil for the database's first, or one that was set otherwise.
    package let began: String?

    package static func read(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> Epoch {
        try await connection.run(EpochStatements.Read()).one()
    }

    /// Begins a new one: every device reads its user's log again. Recorded in `sync.audit`.
    ///
    /// - Parameters:
    ///   - reason: for the record.
    ///   - origin: who begins it.
    /// - Returns: the one before it, and the new one.
    package static func begin(
        on connection: PostgresConnection, because reason: String,
        by origin: AuditOrigin = .session(on: nil)
    ) async throws(PostgresError) -> (before: String, after: String) {
        do {
            try await connection.execute(script: "BEGIN")
            let (before, after) = try await connection.run(EpochStatements.Begin()).one()
            try await connection.run(
                AuditStatements.Append(
                    AuditEntry(
                        .newEpoch, of: after, by: origin,
                        details: ["before": .string(before), "reason": .string(reason)])))
            try await connection.execute(script: "COMMIT")
            return (before, after)
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }
}

package enum EpochStatements {
    struct Read: TypedStatement {
        static let statement = Statement(
            name: "epoch_read",
            sql: """
                SELECT m.epoch::text, \(Self.time("m.created_at")), (
                    SELECT \(Self.time("max(a.at)")) FROM sync.audit a
                    WHERE a.action = '\(AuditAction.newEpoch.rawValue)'
                        AND a.target = m.epoch::text)
                FROM sync.meta m
                """)

        private static func time(_ time: String) -> String {
            "to_char(\(time) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Epoch {
            Epoch(
                id: try columns.next(String.self), created: try columns.next(String.self),
                began: try columns.next(String?.self))
        }
    }

    struct Begin: TypedStatement {
        static let statement = Statement(
            name: "epoch_begin",
            sql: """
                WITH former AS (SELECT m.epoch FROM sync.meta m FOR UPDATE)
                UPDATE sync.meta m SET epoch = gen_random_uuid() FROM former f
                RETURNING f.epoch::text, m.epoch::text
                """)

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (before: String, after: String) {
            (try columns.next(String.self), try columns.next(String.self))
        }
    }

    package static let all = [Read.statement, Begin.statement]
}
