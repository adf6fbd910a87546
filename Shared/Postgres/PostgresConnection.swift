import CLibPQ
import Logging
import Synchronization
import Traces

/// A connection to PostgreSQL. One task uses it at a time; another is refused as misuse.
///
/// No call blocks its thread. Cancelling the task or passing the deadline asks the server to stop,
/// and the call returns only when the connection is ready for the next command, or closed. A
/// command that finished before the request reached it returns its results: its effects are real.
package final class PostgresConnection: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// How long a clean-up after a failure may take before the connection is closed instead.
    static let cleanUpTime = Duration.seconds(5)

    let channel: Channel
    private let configuration: PostgresConfiguration
    private let prepared: PreparedStore?
    /// Goes first in each transaction; nil where the session keeps its settings.
    private let transactionSettings: Command?
    private let changesSettings = Atomic(false)

    init(
        _ configuration: PostgresConfiguration, logger: Logger,
        onClose: @escaping @Sendable (PostgresError) -> Void = { _ in }
    ) {
        self.configuration = configuration
        transactionSettings = configuration.settingsCommand
        channel = Channel(
            logger: logger, grace: configuration.interruptionGrace, onClose: onClose)
        prepared =
            configuration.usesNamedStatements
            ? PreparedStore(limit: configuration.maximumPreparedStatements) : nil
    }

    deinit {
        channel.close()
    }

    /// Makes one connection outside of any pool.
    package static func connect(
        _ configuration: PostgresConfiguration, logger: Logger
    ) async throws(PostgresError) -> PostgresConnection {
        let connection = PostgresConnection(configuration, logger: logger)
        let error = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                connection.open { continuation.resume(returning: $0) }
            }
        } onCancel: {
            connection.channel.close(because: PostgresError(.cancelled))
        }
        if let error { throw error }
        return connection
    }

    /// Runs the commands in one round trip and returns their results, in order.
    ///
    /// The commands form one transaction, or a part of the one that is open. A BEGIN among them does
    /// not end it: what came before becomes part of the transaction begun. On an error the later ones are not executed, `commandIndex` tells which failed, and the connection stays
    /// usable; a transaction that was open is failed and waits to be rolled back.
    package func run(
        _ commands: [Command], deadline: Instant? = nil
    ) async throws(PostgresError) -> [PostgresResult] {
        if commands.isEmpty { return [] }
        guard let settings = transactionSettings, !isInTransaction else {
            return try await perform(commands, deadline)
        }
        // After a BEGIN. The kind of a transaction can only be set by its first statement.
        let place = commands[0].statement.sql.hasPrefix("BEGIN") ? 1 : 0
        var commands = commands
        commands.insert(settings, at: place)
        do throws(PostgresError) {
            var results = try await perform(commands, deadline)
            results.remove(at: place)
            return results
        } catch {
            guard let index = error.commandIndex, index > place else { throw error }
            throw error.at(error.statementName, index: index - 1)
        }
    }

    private func perform(
        _ commands: [Command], _ deadline: Instant?
    ) async throws(PostgresError) -> [PostgresResult] {
        let span = Traces.roundTrip(of: commands)
        defer { span?.end() }
        let exchange = PipelineExchange(
            commands, prepared: prepared, comment: span?.trace?.sqlComment)
        do throws(PostgresError) {
            try await channel.perform(exchange, deadline: deadline)
        } catch {
            span?.fail(error)
            throw error.kind == .connectionLost && error.statementName == nil
                ? exchange.locating(error) : error
        }
        return exchange.results
    }

    /// Whether each transaction is preceded by the settings.
    package var setsEachTransaction: Bool { transactionSettings != nil }

    /// Runs one command.
    @discardableResult
    package func run(
        _ command: Command, deadline: Instant? = nil
    ) async throws(PostgresError) -> PostgresResult {
        try await run([command], deadline: deadline)[0]
    }

    /// Runs a text of one or several statements, dropping rows. Several statements are one
    /// transaction unless they begin their own.
    package func execute(script sql: String, deadline: Instant? = nil) async throws(PostgresError) {
        try await channel.perform(ScriptExchange(sql), deadline: deadline)
    }

    /// Asks which parameters a statement takes and which columns it answers, without executing it.
    package func describe(
        _ statement: Statement, deadline: Instant? = nil
    ) async throws(PostgresError) -> StatementDescription {
        let exchange = DescribeExchange(statement)
        try await channel.perform(exchange, deadline: deadline)
        guard let description = exchange.description else {
            throw PostgresError(.connectionLost, statementName: statement.name)
        }
        return description
    }

    /// Whether a transaction is open on the server, failed or not.
    package var isInTransaction: Bool {
        switch channel.transactionStatus {
        case PQTRANS_INTRANS, PQTRANS_INERROR: true
        default: false
        }
    }

    /// A command is running, or a stream is half read.
    package var isBusy: Bool { channel.transactionStatus == PQTRANS_ACTIVE }

    /// Nothing is running or half read, and no transaction is open.
    var isReady: Bool { channel.transactionStatus == PQTRANS_IDLE }

    package var isClosed: Bool { channel.isClosed }

    /// The process of the server that serves this connection; nil when it is closed.
    package var backendProcess: Int32? { channel.backendProcess }

    /// How many statements are prepared on this connection.
    package var preparedStatementCount: Int { prepared?.count ?? 0 }

    /// Closes the connection; what is running fails with `.connectionLost`.
    package func close() {
        channel.close()
    }

    /// Connects and sets the session up. The connection is closed if `completion` gets an error.
    func open(completion: @escaping Channel.Completion) {
        let deadline = Instant.now + configuration.connectTimeout
        let finish: Channel.Completion = { [channel] error in
            guard let error else { return completion(nil) }
            channel.close(because: error)
            guard error.kind == .deadlineExceeded else { return completion(error) }
            completion(PostgresError(.connectFailed("timed out")))
        }
        let script = configuration.openingScript
        channel.open(
            keywords: { [configuration] in configuration.connectionKeywords }, deadline: deadline
        ) { [self] error in
            guard error == nil else { return finish(error) }
            guard !script.isEmpty else { return finish(nil) }
            channel.start(ScriptExchange(script), deadline: deadline, completion: finish)
        }
    }

    /// A password as the server stores it (SCRAM-SHA-256), so that no statement, and no log of statements, has it in
    /// clear.
    ///
    /// - Throws: `.connectionLost`; `.misuse` for a password that cannot be encrypted.
    package func encryptedPassword(
        _ password: String, of role: String
    ) throws(PostgresError) -> String {
        try channel.encryptedPassword(password, of: role)
    }

    /// Says that code of somebody else runs in the session, such as a trigger, and may change its
    /// settings. The next borrower gets the connection with the settings that it was opened with.
    package func expectChangedSettings() {
        changesSettings.store(true, ordering: .relaxed)
    }

    /// Whether a borrower has left anything that the next one must not meet.
    var needsReset: Bool { isInTransaction || changesSettings.load(ordering: .relaxed) }

    /// Rolls an open transaction back, restores the session's settings if they may have changed, or
    /// asks for a sign of life. `completion` gets an error if the connection cannot be used further,
    /// and it is closed then.
    func reset(completion: @escaping Channel.Completion) {
        var statements = isInTransaction ? ["ROLLBACK"] : []
        if changesSettings.exchange(false, ordering: .relaxed) {
            statements.append(configuration.restoringScript)
        }
        let script = ScriptExchange(statements.joined(separator: "; "))
        let deadline = Instant.now + Self.cleanUpTime
        channel.start(script, deadline: deadline) { [channel] error in
            if let error { channel.close(because: error) }
            completion(error)
        }
    }
}
