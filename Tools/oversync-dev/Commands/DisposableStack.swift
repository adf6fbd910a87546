import Demo
import DevStack
import Foundation
import LocalPostgres
import Logging
import OperatorKit

/// The plan of a stack that is there for one measurement, with the tables of the demonstration.
///
/// - Parameter folder: what is in it is removed first.
func disposableStack(in folder: String) -> Stack.Plan {
    var plan = Stack.Plan(
        directory: StackDirectory(folder), registrations: DemoTables.registrations,
        businessSchema: DemoTables.businessSchema)
    plan.port = 0
    plan.startsEmpty = true
    return plan
}

/// Starts a stack, lends it and removes it with all its files.
func withDisposableStack<R: Sendable>(
    _ plan: Stack.Plan, _ body: @escaping @Sendable (Stack) async throws -> R
) async throws -> R {
    let started = try await Stack(plan, logger: ConsoleLogHandler.logger(.notice))
    let outcome: Result<R, any Error>
    do {
        let value = try await started.run(logger: ConsoleLogHandler.logger(.warning)) { _ in
            try await body(started)
        }
        outcome = .success(value)
    } catch {
        outcome = .failure(error)
    }
    try await started.postgres.destroy()
    try FileManager.default.removeItem(atPath: plan.directory.root)
    return try outcome.get()
}
