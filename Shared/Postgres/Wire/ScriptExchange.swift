import CLibPQ

/// A text of one or several statements by the simple protocol; rows are dropped.
// @unchecked: its channel calls it under a lock, see Exchange.
final class ScriptExchange: Exchange, @unchecked Sendable {
    private let sql: String
    private var failure: PostgresError?

    init(_ sql: String) {
        self.sql = sql
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        PQsendQuery(connection, sql) == 1 ? .sent : .refused(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while PQisBusy(connection) == 0 {
            guard let result = PQgetResult(connection) else { return .finished(failure) }
            defer { PQclear(result) }
            switch Answers.read(result) {
            case .done: break
            case .failed(let error): failure = failure ?? PostgresError(.server(error))
            case .copyIn, .copyOut: return .broken(PostgresError(.misuse("COPY in a script")))
            default: return .broken(PostgresError(.connectionLost))
            }
        }
        return .waiting(nil)
    }
}
