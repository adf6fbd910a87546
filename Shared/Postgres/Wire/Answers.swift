import CLibPQ

/// Reading of libpq's results, common to all exchanges.
enum Answers {
    /// What a result says, with ownership passed on only for rows.
    enum Answer {
        case done
        case failed(ServerError)
        /// Skipped, because an earlier command of the pipeline failed.
        case skipped
        case synchronized
        case copyIn
        case copyOut
        case row
        /// libpq made the error itself, or the status is none we know.
        case unintelligible
    }

    static func read(_ result: OpaquePointer) -> Answer {
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: .done
        case PGRES_SINGLE_TUPLE: .row
        case PGRES_PIPELINE_SYNC: .synchronized
        case PGRES_PIPELINE_ABORTED: .skipped
        case PGRES_COPY_IN: .copyIn
        case PGRES_COPY_OUT: .copyOut
        case PGRES_FATAL_ERROR: ServerError(result: result).map { .failed($0) } ?? .unintelligible
        default: .unintelligible
        }
    }

    /// The error for a call that libpq refused although nothing is wrong with the connection.
    static func refusal(_ connection: OpaquePointer) -> PostgresError {
        if PQstatus(connection) == CONNECTION_BAD { return PostgresError(.connectionLost) }
        return PostgresError(.misuse("libpq refused the call: a stream or COPY may be unfinished"))
    }
}
