import Postgres

/// How much PostgreSQL writes into its log of an error in this session.
struct ReadLogVerbosity: TypedStatement {
    static let statement = Statement(
        name: "upload_log_verbosity",
        sql: "SELECT pg_catalog.current_setting('log_error_verbosity')")

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> String {
        try columns.next(String.self)
    }
}
