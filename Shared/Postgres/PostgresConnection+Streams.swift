import CLibPQ
import Traces

extension PostgresConnection {
    /// Runs a command and calls `each` for its rows as they arrive, without holding all in memory.
    ///
    /// The statement is sent unnamed. If `each` throws, the rest is cancelled and dropped, and the
    /// connection stays usable (an open transaction may be failed).
    /// - Throws: what `each` throws, or a ``PostgresError``.
    package func stream(
        _ command: Command, deadline: Instant? = nil, each: (PostgresRow) throws -> Void
    ) async throws {
        guard setsEachTransaction, !isInTransaction else {
            return try await perform(command, deadline, each)
        }
        // The settings hold for a transaction, so there must be one around it.
        try await run(Command(Statement(name: "stream_begin", sql: "BEGIN")), deadline: deadline)
        do {
            try await perform(command, deadline, each)
        } catch {
            try? await channel.performRegardless(
                ScriptExchange("ROLLBACK"), deadline: .now + Self.cleanUpTime)
            throw error
        }
        try await run(Command(Statement(name: "stream_commit", sql: "COMMIT")), deadline: deadline)
    }

    private func perform(
        _ command: Command, _ deadline: Instant?, _ each: (PostgresRow) throws -> Void
    ) async throws {
        let span = Traces.roundTrip(of: [command])
        defer { span?.end() }
        let exchange = StreamExchange(
            (span?.trace?.sqlComment).map(command.commented) ?? command)
        do {
            repeat {
                try await channel.perform(exchange, deadline: deadline)
                for result in exchange.takeBatch() where result.rowCount > 0 {
                    try each(PostgresRow(result: result, index: 0))
                }
            } while !exchange.isFinished
        } catch {
            if let error = error as? PostgresError { span?.fail(error) }
            if !exchange.isFinished { await drain(exchange) }
            try? await leaveSingleRowMode()
            throw error
        }
        try await leaveSingleRowMode()
    }

    /// libpq leaves the mode when it sends the next query, but not when that is the first of a pipeline and prepared
    /// already: its rows would come one by one.
    private func leaveSingleRowMode() async throws(PostgresError) {
        try await channel.performRegardless(ScriptExchange(""), deadline: .now + Self.cleanUpTime)
    }

    /// Runs `COPY … TO STDOUT` and calls `receive` for each row, whose bytes are valid in the call.
    ///
    /// - Throws: what `receive` throws, or a ``PostgresError``; then as with ``stream``.
    package func copyOut(
        _ sql: String, deadline: Instant? = nil, receive: (UnsafeRawBufferPointer) throws -> Void
    ) async throws {
        let exchange = CopyOutExchange(sql)
        do {
            repeat {
                try await channel.perform(exchange, deadline: deadline)
                let batch = exchange.takeBatch()
                defer { CopyOutExchange.free(batch) }
                for piece in batch {
                    try receive(UnsafeRawBufferPointer(start: piece.start, count: piece.count))
                }
            } while !exchange.isFinished
        } catch {
            if !exchange.isFinished { await drain(exchange) }
            throw error
        }
    }

    /// Runs `COPY … FROM STDIN` with the bytes that `next` returns until it returns nil.
    ///
    /// Pieces need not end with a row; none may be larger than 1 GB. Nothing is copied if `next`
    /// throws, the task is cancelled or the deadline passes.
    /// - Returns: the number of rows copied.
    package func copyIn(
        _ sql: String, deadline: Instant? = nil,
        isolation: isolated (any Actor)? = #isolation,
        next: () async throws -> [UInt8]?
    ) async throws -> Int {
        try await channel.perform(CopyInBeginning(sql), deadline: deadline)
        do {
            while let piece = try await next() {
                try await channel.perform(CopyInPiece(piece), deadline: deadline)
            }
            try Task.checkCancellation()
        } catch {
            let end = CopyInEnd(abandonment: "given up by the client")
            try? await channel.performRegardless(end, deadline: .now + Self.cleanUpTime)
            throw error is CancellationError ? PostgresError(.cancelled) : error
        }
        let end = CopyInEnd(abandonment: nil)
        try await channel.perform(end, deadline: deadline)
        return end.rows
    }

    /// Reads and drops what remains of a paused exchange, after asking the server to stop.
    private func drain(_ exchange: any Exchange) async {
        exchange.discardRest()
        await channel.drain(exchange, deadline: .now + Self.cleanUpTime)
    }
}
