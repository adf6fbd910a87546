/// Commands that go to the server in one round trip; see
/// ``PostgresConnection/run(_:deadline:)-(Pipeline,_)``.
///
/// Adding a command returns the ticket with which its rows are read from the results.
package struct Pipeline: Sendable {
    package private(set) var commands: [Command] = []

    package init() {}

    /// Adds a statement that has no parameters and whose rows nobody reads.
    @discardableResult
    package mutating func add(_ statement: Statement) -> Ticket<Void> {
        add(Command(statement))
    }

    /// Adds a command whose rows nobody reads.
    @discardableResult
    package mutating func add(_ command: Command) -> Ticket<Void> {
        add(command) { columns throws(PostgresError) in columns.skipRest() }
    }

    /// Adds commands whose rows nobody reads.
    package mutating func add(contentsOf commands: [Command]) {
        self.commands += commands
    }

    @discardableResult
    package mutating func add<Typed: TypedStatement>(_ statement: Typed) -> Ticket<Typed.Row> {
        add(Command(statement), row: Typed.row)
    }

    /// Adds a command whose rows have one column.
    package mutating func add<Value: ColumnValue>(
        _ command: Command, of type: Value.Type
    ) -> Ticket<Value> {
        add(command) { columns throws(PostgresError) in try columns.next(Value.self) }
    }

    /// Adds a command and says how its rows are read.
    ///
    /// - Parameter row: reads one row: each column of the select list once, in order.
    package mutating func add<Row>(
        _ command: Command, row: @escaping RowDecoder<Row>
    ) -> Ticket<Row> {
        commands.append(command)
        return Ticket(index: commands.count - 1, name: command.statement.name, decode: row)
    }
}

/// Tells which of a pipeline's results a command's rows are in, and how to read them.
package struct Ticket<Row>: Sendable {
    let index: Int
    /// Of the statement, so that a ticket of another pipeline is refused.
    let name: String
    let decode: RowDecoder<Row>
}

/// What a pipeline's commands answered.
package struct PipelineResults: Sendable {
    private let results: [PostgresResult]

    init(_ results: [PostgresResult]) {
        self.results = results
    }

    /// The rows of the command that the ticket was given for.
    ///
    /// - Throws: `.misuse` for the ticket of another pipeline.
    package subscript<Row>(ticket: Ticket<Row>) -> Rows<Row> {
        get throws(PostgresError) {
            guard ticket.index < results.count,
                results[ticket.index].statementName == ticket.name
            else {
                throw PostgresError(
                    .misuse("the ticket is another pipeline's"), statementName: ticket.name)
            }
            return Rows(results[ticket.index], decode: ticket.decode)
        }
    }
}
