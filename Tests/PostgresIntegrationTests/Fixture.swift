import Logging
import Postgres
import TestSupport
import Testing

/// Calls `body` with a connection to a fresh database.
func withConnection<Value>(
    _ change: (inout PostgresConfiguration) -> Void = { _ in },
    isolation: isolated (any Actor)? = #isolation,
    _ body: (PostgresConnection) async throws -> Value
) async throws -> Value {
    try await TestDatabase.withDatabase { url in
        var configuration = try PostgresConfiguration(url: url, applicationName: "tests")
        change(&configuration)
        let connection = try await PostgresConnection.connect(configuration, logger: quiet)
        defer { connection.close() }
        return try await body(connection)
    }
}

/// A logger for what the tests provoke.
let quiet: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}()

/// A command without parameters whose statement is named by its text.
func command(_ sql: String, results: ResultFormat = .text) -> Command {
    let name = "t\(sql.utf8.reduce(UInt64(5381)) { $0 &* 33 &+ UInt64($1) })"
    return Command(Statement(name: name, sql: sql, results: results))
}

/// The error that `body` throws, or nil when it throws none or one of another type.
func postgresError(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Void
) async -> PostgresError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? PostgresError
    }
}

/// Expects that the connection answers a command, and with that command's own answer.
func expectUsable(_ connection: PostgresConnection) async throws {
    let number = Int32.random(in: 0...Int32.max)
    var bindings = Bindings()
    bindings.bind(number)
    let statement = Statement(name: "expect_usable", sql: "SELECT $1", parameters: [.int4])
    let answer = try await connection.run(Command(statement, bindings)).int32(0, 0)
    #expect(answer == number)
}
