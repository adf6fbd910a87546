extension PostgresConnection {
    /// Runs one statement.
    @discardableResult
    package func run<Typed: TypedStatement>(
        _ statement: Typed, deadline: Instant? = nil
    ) async throws(PostgresError) -> Rows<Typed.Row> {
        Rows(try await run(Command(statement), deadline: deadline), decode: Typed.row)
    }

    /// Runs the pipeline's commands in one round trip, as `run(_: [Command])` does.
    @discardableResult
    package func run(
        _ pipeline: Pipeline, deadline: Instant? = nil
    ) async throws(PostgresError) -> PipelineResults {
        PipelineResults(try await run(pipeline.commands, deadline: deadline))
    }

    /// Runs a command that no ``TypedStatement`` stands for: a tool's, or one that is made for the
    /// registered tables.
    ///
    /// - Parameter row: reads one row: each column of the select list once, in order.
    package func rows<Row>(
        _ command: Command, deadline: Instant? = nil, row: @escaping RowDecoder<Row>
    ) async throws(PostgresError) -> Rows<Row> {
        Rows(try await run(command, deadline: deadline), decode: row)
    }

    /// Runs a statement without parameters that no ``TypedStatement`` stands for.
    ///
    /// - Parameter row: reads one row: each column of the select list once, in order.
    package func rows<Row>(
        _ statement: Statement, deadline: Instant? = nil, row: @escaping RowDecoder<Row>
    ) async throws(PostgresError) -> Rows<Row> {
        try await rows(Command(statement), deadline: deadline, row: row)
    }

    /// Runs a statement without parameters whose rows have one column.
    package func rows<Value: ColumnValue>(
        _ statement: Statement, of type: Value.Type, deadline: Instant? = nil
    ) async throws(PostgresError) -> Rows<Value> {
        try await rows(Command(statement), of: type, deadline: deadline)
    }

    /// Runs a command whose rows have one column.
    package func rows<Value: ColumnValue>(
        _ command: Command, of type: Value.Type, deadline: Instant? = nil
    ) async throws(PostgresError) -> Rows<Value> {
        try await rows(command, deadline: deadline) { columns throws(PostgresError) in
            try columns.next(Value.self)
        }
    }

    /// Runs a statement and calls `each` for its rows as they arrive, without holding all in
    /// memory. What a row has of the result's memory is valid during its call.
    ///
    /// - Throws: what `each` throws, or a ``PostgresError``; see ``stream(_:deadline:each:)``.
    package func stream<Typed: TypedStatement>(
        _ statement: Typed, deadline: Instant? = nil, each: (Typed.Row) throws -> Void
    ) async throws {
        try await stream(Command(statement), row: Typed.row, deadline: deadline, each: each)
    }

    /// Runs a command that no ``TypedStatement`` stands for and calls `each` for its rows as they
    /// arrive.
    ///
    /// - Parameter row: reads one row: each column of the select list once, in order.
    package func stream<Row>(
        _ command: Command, row: @escaping RowDecoder<Row>, deadline: Instant? = nil,
        each: (Row) throws -> Void
    ) async throws {
        try await stream(command, deadline: deadline) { single in
            defer { withExtendedLifetime(single.result) {} }
            try each(try Rows(single.result, decode: row).row(at: single.index))
        }
    }
}
