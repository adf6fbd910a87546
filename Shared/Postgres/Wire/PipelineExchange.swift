import CLibPQ
import Synchronization

/// Several commands in one round trip: all are sent, then one Sync, then all answers are read.
// @unchecked: its channel calls it under a lock, and results are taken when it has completed.
final class PipelineExchange: Exchange, @unchecked Sendable {
    private enum Step {
        case deallocate
        case prepare(Int)
        case execute(Int)
        case synchronize
    }

    /// A nil answer closes each command; this many in a row mean that libpq and we disagree.
    private static let maximumEmptyAnswers = 4

    /// Why the server ends sessions that are at no command, or not because of it.
    private static let endsOfSessions: Set<SQLState> = [.idleInTransactionTimeout, .crashShutdown]

    private let commands: [Command]
    private let prepared: PreparedStore?
    private let comment: String?
    private var steps: [Step] = []
    private var position = 0
    private var isAnswered = false
    private var emptyAnswers = 0
    private var failure: PostgresError?
    private(set) var results: [PostgresResult] = []

    /// - Parameters:
    ///   - prepared: nil sends every statement unnamed.
    ///   - comment: stands behind the text of those that go with their text: BEGIN, which then does
    ///     so too, and all without names. A named statement keeps its text, which was prepared
    ///     before and will be executed again.
    init(_ commands: [Command], prepared: PreparedStore?, comment: String? = nil) {
        self.commands = commands
        self.prepared = prepared
        self.comment = comment
    }

    /// How many commands at the front go with their text, though there are names.
    private var unnamed: Int {
        comment != nil && commands.first?.statement.sql.hasPrefix("BEGIN") == true ? 1 : 0
    }

    var commits: Bool { commands.contains { $0.statement.commits } }

    func begin(_ connection: OpaquePointer) -> Begun {
        for (index, command) in commands.enumerated() {
            if let flaw = command.flaw { return .refused(error(.misuse(flaw), at: index)) }
        }
        var plans: [PreparedStatements.Plan] = []
        if let prepared, prepared.last {
            let unnamed = unnamed
            switch prepared.plan(commands.dropFirst(unnamed).map(\.statement)) {
            case .success(let planned):
                plans = Array(repeating: .sendText, count: unnamed) + planned
            case .failure(let conflict):
                let text = "two statements share a name"
                return .refused(error(.misuse(text), at: conflict.index + unnamed))
            }
        }
        guard PQenterPipelineMode(connection) == 1 else {
            return .refused(Answers.refusal(connection))
        }
        let isSent = sendDeallocations(connection) && send(connection, plans)
        return isSent ? .sent : .broken(Answers.refusal(connection))
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        while position < steps.count {
            if PQisBusy(connection) != 0 { return .waiting(nil) }
            guard let result = PQgetResult(connection) else {
                if let trouble = endOfAnswer() { return trouble }
                continue
            }
            emptyAnswers = 0
            if let trouble = take(result) { return trouble }
        }
        guard PQexitPipelineMode(connection) == 1 else {
            return .broken(PostgresError(.connectionLost))
        }
        return .finished(failure)
    }

    /// The error of a connection that broke, with the command that the server was at: the one that
    /// failed, or the first without an answer. Nothing is named if nothing was sent, or if the
    /// server says that it has ended the session for a pause, or for the crash of another one.
    func locating(_ error: PostgresError) -> PostgresError {
        if let failure {
            let isOfCommand = failure.sqlState.map { !Self.endsOfSessions.contains($0) } ?? true
            return isOfCommand
                ? error.at(failure.statementName, index: failure.commandIndex) : error
        }
        guard steps.indices.contains(position) else { return error }
        switch steps[position] {
        case .prepare(let index), .execute(let index):
            return error.at(commands[index].statement.name, index: index)
        case .deallocate, .synchronize: return error
        }
    }

    private func sendDeallocations(_ connection: OpaquePointer) -> Bool {
        guard let prepared, PQtransactionStatus(connection) == PQTRANS_IDLE else { return true }
        let doomed = prepared.takeDoomed()
        if doomed.isEmpty { return true }
        for name in doomed {
            let quoted = name.split(separator: "\"", omittingEmptySubsequences: false)
                .joined(separator: "\"\"")
            let sql = "DEALLOCATE \"\(quoted)\""
            steps.append(.deallocate)
            if PQsendQueryParams(connection, sql, 0, nil, nil, nil, nil, 0) != 1 { return false }
        }
        // Their own Sync: a name that is gone already must not abort the commands.
        steps.append(.synchronize)
        return PQpipelineSync(connection) == 1
    }

    private func send(
        _ connection: OpaquePointer, _ plans: [PreparedStatements.Plan]
    ) -> Bool {
        results.reserveCapacity(commands.count)
        for (index, command) in commands.enumerated() {
            let plan = plans.isEmpty ? .sendText : plans[index]
            let isSent = send(connection, command, plan, index)
            if !isSent { return false }
            steps.append(.execute(index))
        }
        steps.append(.synchronize)
        return PQpipelineSync(connection) == 1
    }

    private func send(
        _ connection: OpaquePointer, _ command: Command, _ plan: PreparedStatements.Plan,
        _ index: Int
    ) -> Bool {
        let statement = command.statement
        let serverName: String
        switch plan {
        case .sendText:
            return Sending.execute(connection, comment.map(command.commented) ?? command)
        case .execute(let name):
            serverName = name
        case .prepare(let name):
            serverName = name
            steps.append(.prepare(index))
            let isSent = Sending.prepare(
                connection, name: name, sql: statement.sql, types: statement.parameters)
            if !isSent { return false }
        }
        return Sending.execute(
            connection, name: serverName, bindings: command.bindings, results: statement.results)
    }

    /// A nil result: the current command has said everything.
    private func endOfAnswer() -> Progress? {
        if isAnswered {
            isAnswered = false
            position += 1
            return nil
        }
        emptyAnswers += 1
        let isAstray = emptyAnswers > Self.maximumEmptyAnswers
        return isAstray ? .broken(PostgresError(.connectionLost)) : nil
    }

    private func take(_ result: OpaquePointer) -> Progress? {
        let answer = Answers.read(result)
        if case .execute(let index) = steps[position], case .done = answer {
            let name = commands[index].statement.name
            results.append(PostgresResult(owning: result, statementName: name))
            isAnswered = true
            return nil
        }
        defer { PQclear(result) }
        switch (steps[position], answer) {
        case (.synchronize, .synchronized):
            position += 1
        case (.synchronize, .failed(let error)):
            // A deferred constraint, checked when the implicit transaction commits at the Sync.
            fail(error, at: commands.count - 1)
        case (.deallocate, .done), (.deallocate, .failed), (.deallocate, .skipped):
            isAnswered = true
        case (.prepare(let index), .done):
            prepared?.confirm(commands[index].statement)
            isAnswered = true
        case (.prepare(let index), .failed(let error)), (.execute(let index), .failed(let error)):
            fail(error, at: index)
            isAnswered = true
        case (.prepare, .skipped), (.execute, .skipped):
            isAnswered = true
        case (.execute(let index), .copyIn), (.execute(let index), .copyOut):
            return .broken(self.error(.misuse("COPY inside a pipeline"), at: index))
        default:
            return .broken(PostgresError(.connectionLost))
        }
        return nil
    }

    private func fail(_ server: ServerError, at index: Int) {
        if server.isStalePlan {
            if server.sqlState == .invalidStatementName {
                prepared?.invalidateAll()
            } else {
                prepared?.invalidate(commands[index].statement)
            }
        }
        if failure == nil { failure = error(.server(server), at: index) }
    }

    private func error(_ kind: PostgresError.Kind, at index: Int) -> PostgresError {
        PostgresError(
            kind, statementName: commands[index].statement.name, commandIndex: index)
    }
}

/// The prepared statements of one connection, shared by its exchanges.
final class PreparedStore: Sendable {
    private let statements: Mutex<PreparedStatements>

    init(limit: Int) {
        statements = Mutex(PreparedStatements(limit: limit))
    }

    var count: Int { statements.withLock { $0.count } }
    var last: Bool { statements.withLock { $0.last } }

    func plan(
        _ wanted: [Statement]
    ) -> Result<[PreparedStatements.Plan], PreparedStatements.Conflict> {
        statements.withLock { $0.plan(wanted) }
    }

    func takeDoomed() -> [String] {
        statements.withLock { $0.takeDoomed() }
    }

    func confirm(_ statement: Statement) {
        statements.withLock { $0.confirm(statement) }
    }

    func invalidate(_ statement: Statement) {
        statements.withLock { $0.invalidate(statement) }
    }

    func invalidateAll() {
        statements.withLock { $0.invalidateAll() }
    }
}
