import CLibPQ

/// Prepares a statement without a name and asks what it takes and answers. It is not executed.
// @unchecked: its channel calls it under a lock, see Exchange.
final class DescribeExchange: Exchange, @unchecked Sendable {
    private let statement: Statement
    private var isDescribing = false
    private var failure: PostgresError?
    private(set) var description: StatementDescription?

    init(_ statement: Statement) {
        self.statement = statement
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        let isSent = Sending.prepare(
            connection, name: "", sql: statement.sql, types: statement.parameters)
        return isSent ? .sent : .refused(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while PQisBusy(connection) == 0 {
            guard let result = PQgetResult(connection) else {
                if isDescribing || failure != nil { return .finished(failure) }
                isDescribing = true
                guard PQsendDescribePrepared(connection, "") == 1 else {
                    return .broken(Answers.refusal(connection))
                }
                if PQflush(connection) < 0 { return .broken(PostgresError(.connectionLost)) }
                continue
            }
            let answer = PostgresResult(owning: result, statementName: statement.name)
            switch Answers.read(result) {
            case .done: description = StatementDescription(answer)
            case .failed(let error):
                failure = PostgresError(.server(error), statementName: statement.name)
            default: return .broken(PostgresError(.connectionLost))
            }
        }
        return .waiting(nil)
    }
}
