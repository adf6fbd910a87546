import Postgres
import Sidecar

/// Statements about changes that a business table refused.
enum FailureStatements {
    /// Fails with 55P03 while another session has the failure locked. The lock that it takes itself
    /// ends with the statement: the retry records what comes of it on another connection.
    static let probe = Statement(
        name: "failures_probe",
        sql: """
            SELECT FROM sync.materialize_failures WHERE id = $1 FOR NO KEY UPDATE NOWAIT
            """,
        parameters: [.int8])

    static let resolve = Statement(
        name: "failures_resolve",
        sql: "UPDATE sync.materialize_failures SET resolved_at = now() WHERE id = $1",
        parameters: [.int8])

    static let all = [OpenFailures.List.statement, probe, resolve]
}
