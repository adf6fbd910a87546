import Foundation
import Postgres

/// Statements about the audit.
package enum AuditStatements {
    /// Adds a row. Only `INSERT` is needed for it, so it returns nothing.
    package struct Append: TypedStatement {
        package static let statement = Statement(
            name: "audit_append", sql: AuditStatements.append(to: "sync.audit"),
            parameters: AuditStatements.appendParameters)

        package let entry: AuditEntry

        package init(_ entry: AuditEntry) {
            self.entry = entry
        }

        package func bind(to bindings: inout Bindings) {
            AuditStatements.bind(entry, to: &bindings)
        }
    }

    /// The same for Auth, which enters no other schema, and for the tools that change its keys.
    package struct AppendOfAuth: TypedStatement {
        package static let statement = Statement(
            name: "auth_audit_append", sql: AuditStatements.append(to: "oversync_auth.audit"),
            parameters: AuditStatements.appendParameters)

        package let entry: AuditEntry

        package init(_ entry: AuditEntry) {
            self.entry = entry
        }

        package func bind(to bindings: inout Bindings) {
            AuditStatements.bind(entry, to: &bindings)
        }
    }

    private static func append(to table: String) -> String {
        """
        INSERT INTO \(table)
            (actor, actor_kind, issuer, host, action, target, outcome, code, details, operation)
        VALUES (coalesce($1, session_user), $2, $3, $4, $5, $6, $7, $8, $9::json, $10::uuid)
        """
    }

    private static let appendParameters: [PostgresType] = [
        .text, .text, .text, .text, .text, .text, .text, .text, .text, .text,
    ]

    private static func bind(_ entry: AuditEntry, to bindings: inout Bindings) {
        for text in [
            entry.actor, entry.origin.kind.rawValue, entry.issuer, entry.host,
            entry.action.rawValue, entry.target, entry.outcome.rawValue, entry.code, entry.details,
            entry.operation?.uuidString,
        ] {
            bindings.bind(text)
        }
    }

    /// Those of ``AuditRow``.
    private static let columns = """
        a.id, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.actor,
            a.actor_kind, a.issuer, a.host, a.database_role, a.action, a.target, a.outcome, a.code,
            a.details::text, a.operation::text
        """

    private static func row(_ columns: inout RowColumns) throws(PostgresError) -> AuditRow {
        AuditRow(
            id: try columns.next(Int64.self), at: try columns.next(String.self),
            actor: try columns.next(String.self),
            actorKind: try columns.next(String?.self), issuer: try columns.next(String?.self),
            host: try columns.next(String?.self), databaseRole: try columns.next(String?.self),
            action: try columns.next(String.self), target: try columns.next(String.self),
            outcome: try columns.next(String.self), code: try columns.next(String?.self),
            details: try columns.next(String?.self), operation: try columns.next(String?.self))
    }

    /// The newest rows, newest first, for the role of Upload, which may not read the table.
    package struct ReadForAdministrators: TypedStatement {
        package static let statement = Statement(
            name: "audit_read_for_administrators",
            sql: """
                SELECT \(columns) FROM sync.read_audit($1, $2, $3) AS a ORDER BY a.id DESC
                """,
            parameters: [.text, .int8, .int4])

        /// Empty for all.
        let action: String
        /// Only rows with smaller numbers; 0 for any.
        let before: Int64
        let limit: Int32

        package init(action: String, before: Int64, limit: Int32) {
            (self.action, self.before, self.limit) = (action, before, limit)
        }

        package func bind(to bindings: inout Bindings) {
            bindings.bind(action)
            bindings.bind(before)
            bindings.bind(limit)
        }

        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> AuditRow {
            try AuditStatements.row(&columns)
        }
    }

    /// The newest rows, newest first.
    struct Read: TypedStatement {
        static let statement = Statement(
            name: "audit_read",
            sql: """
                SELECT \(columns) FROM sync.audit a
                WHERE a.at >= coalesce(
                        $1::timestamptz, now() - make_interval(secs => $2), '-infinity')
                    AND ($3 = '' OR a.action = $3) AND ($4 = 0 OR a.id < $4)
                ORDER BY a.id DESC LIMIT $5
                """,
            parameters: [.text, .float8, .text, .int8, .int8])

        let query: AuditQuery

        func bind(to bindings: inout Bindings) {
            bindings.bind(query.since)
            bindings.bind(query.age.map(Double.init))
            bindings.bind(query.action)
            bindings.bind(query.before)
            // One more tells whether there are older ones.
            bindings.bind(Int64(query.limit) + 1)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> AuditRow {
            try AuditStatements.row(&columns)
        }
    }

    /// Removes the oldest rows, a bounded number in one transaction, and none that is younger than
    /// `AuditLog.minimumDays`.
    struct Prune: TypedStatement {
        static let statement = Statement(
            name: "audit_prune", sql: "SELECT sync.prune_audit($1, $2)",
            parameters: [.float8, .int8])

        /// In seconds.
        let age: Int64
        let limit: Int64

        func bind(to bindings: inout Bindings) {
            bindings.bind(Double(age))
            bindings.bind(limit)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Int64 {
            try columns.next(Int64.self)
        }
    }

    /// Records the settings that a service started with.
    package struct RecordConfiguration: TypedStatement {
        package static let statement = Statement(
            name: "audit_configuration",
            sql: "SELECT sync.record_configuration($1, $2, $3::jsonb)",
            parameters: [.text, .text, .text])

        package let service: String
        package let host: String
        /// A JSON object of texts.
        package let settings: String

        package init(service: String, host: String, settings: String) {
            self.service = service
            self.host = host
            self.settings = settings
        }

        package func bind(to bindings: inout Bindings) {
            for text in [service, host, settings] { bindings.bind(text) }
        }

        /// - Returns: whether they differ from the last ones.
        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> Bool {
            try columns.next(Bool.self)
        }
    }

    /// The same for Auth.
    package struct RecordConfigurationOfAuth: TypedStatement {
        package static let statement = Statement(
            name: "auth_configuration",
            sql: "SELECT oversync_auth.record_configuration($1, $2::jsonb)",
            parameters: [.text, .text])

        package let host: String
        /// A JSON object of texts.
        package let settings: String

        package init(host: String, settings: String) {
            self.host = host
            self.settings = settings
        }

        package func bind(to bindings: inout Bindings) {
            for text in [host, settings] { bindings.bind(text) }
        }

        /// - Returns: whether they differ from the last ones.
        package static func row(_ columns: inout RowColumns) throws(PostgresError) -> Bool {
            try columns.next(Bool.self)
        }
    }

    /// Those of Upload.
    package static let ofUpload = [
        Append.statement, RecordConfiguration.statement, ReadForAdministrators.statement,
    ]
    /// Those of Auth.
    package static let ofAuth = [AppendOfAuth.statement, RecordConfigurationOfAuth.statement]
    package static let all = ofUpload + ofAuth + [Read.statement, Prune.statement]
}
