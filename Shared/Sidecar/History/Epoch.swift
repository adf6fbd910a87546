import Postgres

/// The identity of a database's history. It changes only where nothing of the old one holds.
package struct Epoch: Hashable, Sendable {
    package let id: String
    /// When the sidecar was made, as PostgreSQL shows it.
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
    /// - Parameter reason: for the record.
    /// - Returns: the one before it, and the new one.
    package static func begin(
        on connection: PostgresConnection, because reason: String
    ) async throws(PostgresError) -> (before: String, after: String) {
        try await connection.run(EpochStatements.Begin(reason: reason)).one()
    }
}

package enum EpochStatements {
    /// What the audit calls it.
    static let action = "epoch.new"

    struct Read: TypedStatement {
        static let statement = Statement(
            name: "epoch_read",
            sql: """
                SELECT m.epoch::text, date_trunc('second', m.created_at)::text, (
                    SELECT date_trunc('second', max(a.at))::text FROM sync.audit a
                    WHERE a.action = '\(action)' AND a.target = m.epoch::text)
                FROM sync.meta m
                """)

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
                WITH former AS (SELECT m.epoch FROM sync.meta m FOR UPDATE), fresh AS (
                    UPDATE sync.meta m SET epoch = gen_random_uuid() FROM former f
                    RETURNING f.epoch AS before, m.epoch AS after
                ), recorded AS (
                    INSERT INTO sync.audit (actor, action, target, outcome, details)
                    SELECT session_user, '\(action)', f.after::text, 'done',
                        json_build_object('before', f.before, 'reason', $1::text)
                    FROM fresh f
                )
                SELECT f.before::text, f.after::text FROM fresh f
                """,
            parameters: [.text])

        let reason: String

        func bind(to bindings: inout Bindings) {
            bindings.bind(reason)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (before: String, after: String) {
            (try columns.next(String.self), try columns.next(String.self))
        }
    }

    package static let all = [Read.statement, Begin.statement]
}
