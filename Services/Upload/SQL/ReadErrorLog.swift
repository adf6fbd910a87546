import Postgres

/// Whether PostgreSQL writes the rows of errors in this session into its log.
struct ReadErrorLog: TypedStatement {
    static let statement = Statement(
        name: "upload_error_log",
        sql: """
            SELECT pg_catalog.current_setting('log_error_verbosity') <> 'terse'
                OR pg_catalog.current_setting('log_parameter_max_length_on_error') <> '0'
            """)

    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Bool {
        try columns.next(Bool.self)
    }
}
