import CLibPQ

/// A command whose rows are read one by one, in batches between which nothing is read from the
/// socket: a slow reader slows the server down instead of filling the memory.
// @unchecked: its channel calls it under a lock, and a batch is taken while it is paused.
final class StreamExchange: Exchange, @unchecked Sendable {
    /// Rows of one batch.
    private static let batchSize = 256
    /// Bytes of one batch, its last row aside: a row is never parted.
    private static let batchBytes = 1 << 20

    private let command: Command
    private var isBegun = false
    private var isDiscarding = false
    private var failure: PostgresError?
    private var batch: [PostgresResult] = []
    private var bytes = 0
    private(set) var isFinished = false

    init(_ command: Command) {
        self.command = command
    }

    func takeBatch() -> [PostgresResult] {
        defer { clear() }
        return batch
    }

    func begin(_ connection: OpaquePointer) -> Begun {
        if isBegun { return .sent }
        let name = command.statement.name
        if let flaw = command.flaw {
            return .refused(PostgresError(.misuse(flaw), statementName: name))
        }
        guard Sending.execute(connection, command) else {
            return .refused(Answers.refusal(connection))
        }
        isBegun = true
        let isSingle = PQsetSingleRowMode(connection) == 1
        return isSingle ? .sent : .broken(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        let name = command.statement.name
        while batch.count < Self.batchSize, bytes < Self.batchBytes {
            if PQisBusy(connection) != 0 { return .waiting(nil) }
            guard let result = PQgetResult(connection) else {
                isFinished = true
                return .finished(failure)
            }
            let answer = PostgresResult(owning: result, statementName: name)
            switch Answers.read(result) {
            case .row where !isDiscarding:
                batch.append(answer)
                bytes += PQresultMemorySize(result)
            case .row: break
            case .done: break
            case .failed(let error):
                failure = PostgresError(.server(error), statementName: name)
            default: return .broken(PostgresError(.connectionLost))
            }
        }
        return .paused
    }

    func discardRest() {
        isDiscarding = true
        clear()
    }

    private func clear() {
        batch = []
        bytes = 0
    }
}
