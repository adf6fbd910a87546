import Model
import Postgres
import Sidecar

/// Finds an order in which the rows of a set can be written one by one, where too few values are
/// free to park all of them: one row stands aside, and each next one takes what has become free.
///
/// ```
/// a → 2, b → 3, c → 1, one value is free    a stands aside; c → 1, b → 3, a → 2
/// ```
struct SetOrder {
    /// The largest set that is tried: each pass writes what is left of it row by row.
    static let maximumRows = 32

    let transaction: UploadTransaction
    let scope: NamedScope
    let source: Int32
    let entries: [LogEntry]
    let arrangement: WriteArrangement
    /// Of each statement.
    let time: Duration
    let end: ContinuousClock.Instant

    private enum Passed: Error { case noOrder }

    /// Writes rows inside a savepoint, and takes everything back.
    ///
    /// - Returns: places in the request; nil if there is no such order.
    func find() async throws -> [Int]? {
        guard entries.count <= Self.maximumRows else { return nil }
        try await transaction.run([Command(UploadStatements.savepoint)])
        var order: [Int] = []
        do {
            let steps = transaction.steps(entries, scope, source, arrangement)
            let opening = transaction.opening(
                entries, scope, source, within: time,
                lockTime: UploadIsolation.partLockTime)
            guard try await isWritten(opening) else { throw Passed.noOrder }
            var rows: [(group: BusinessWrites.Group, entry: LogEntry)] = []
            for step in steps {
                switch step {
                case .rows(let group): rows += group.entries.map { (group, $0) }
                case .command(let command):
                    // Deletes follow upserts, and begin with a command.
                    order += try await write(rows)
                    rows = []
                    guard try await isWritten([command]) else { throw Passed.noOrder }
                }
            }
            order += try await write(rows)
        } catch Passed.noOrder {
            try await transaction.takeBackSearch()
            return nil
        }
        try await transaction.takeBackSearch()
        return order
    }

    private func write(
        _ rows: [(group: BusinessWrites.Group, entry: LogEntry)]
    ) async throws -> [Int] {
        var (waiting, order) = (rows, [Int]())
        while !waiting.isEmpty {
            var left: [(group: BusinessWrites.Group, entry: LogEntry)] = []
            // A later change of a row that waits must not go before its first one.
            var waitingRows: Set<RowID> = []
            for (group, entry) in waiting {
                guard end - .now > .zero else { throw Passed.noOrder }
                let row = transaction.batch.changes[entry.change].row
                if !waitingRows.contains(row),
                    try await isWritten(transaction.commands(group, with: [entry], scope, source))
                {
                    order.append(entry.change)
                } else {
                    waitingRows.insert(row)
                    left.append((group, entry))
                }
            }
            if left.count == waiting.count { throw Passed.noOrder }
            waiting = left
        }
        return order
    }

    private func isWritten(_ commands: [Command]) async throws -> Bool {
        do {
            try await transaction.run(
                [Command(UploadStatements.savepoint)] + commands
                    + [Command(UploadStatements.releaseSavepoint)])
            return true
        } catch {
            guard RowRefusal(error, isAttempt: true) != nil else { throw error }
            try await transaction.takeBack()
            return false
        }
    }
}
