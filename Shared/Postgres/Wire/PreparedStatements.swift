/// What one connection knows about its prepared statements: which exist, and which must go.
///
/// Pure bookkeeping. An entry is made only when the server has confirmed the Parse, so a pipeline
/// that fails before or after it leaves the truth here.
struct PreparedStatements {
    /// How one command of a pipeline reaches the server.
    enum Plan: Equatable {
        /// It exists under this name, or an earlier command of the same pipeline makes it.
        case execute(String)
        /// It must be made under this name first.
        case prepare(String)
    }

    private struct Entry {
        let statement: Statement
        let serverName: String
        var lastUse: Int
    }

    private let limit: Int
    private var entries: [String: Entry] = [:]
    /// How often a name was made invalid: the next one gets another name on the server, so that it
    /// never depends on the old one having been deallocated.
    private var generations: [String: Int] = [:]
    /// Names on the server that nobody uses any more.
    private var doomed: [String] = []
    private var clock = 0

    init(limit: Int) {
        self.limit = max(limit, 1)
    }

    var count: Int { entries.count }

    /// Plans one pipeline, or returns the index of a statement whose name belongs to another text.
    mutating func plan(_ statements: [Statement]) -> Result<[Plan], Conflict> {
        var made: [String: Statement] = [:]
        var plans: [Plan] = []
        plans.reserveCapacity(statements.count)
        clock += 1
        for (index, statement) in statements.enumerated() {
            let known = entries[statement.name]?.statement ?? made[statement.name]
            if let known, known.sql != statement.sql || known.parameters != statement.parameters {
                return .failure(Conflict(index: index))
            }
            if let entry = entries[statement.name] {
                entries[statement.name]?.lastUse = clock
                plans.append(.execute(entry.serverName))
            } else if made.updateValue(statement, forKey: statement.name) != nil {
                plans.append(.execute(serverName(of: statement)))
            } else {
                plans.append(.prepare(serverName(of: statement)))
            }
        }
        return .success(plans)
    }

    /// The server has prepared the statement.
    mutating func confirm(_ statement: Statement) {
        entries[statement.name] = Entry(
            statement: statement, serverName: serverName(of: statement), lastUse: clock)
    }

    /// The server's plan is stale or gone; the next use prepares it anew.
    mutating func invalidate(_ statement: Statement) {
        guard let entry = entries.removeValue(forKey: statement.name) else { return }
        generations[statement.name, default: 0] += 1
        doomed.append(entry.serverName)
    }

    /// Takes the names to deallocate now. Only outside a transaction, where a failure to do so
    /// harms nothing; inside one the limit may be exceeded.
    mutating func takeDoomed() -> [String] {
        while entries.count > limit,
            let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            invalidate(oldest.value.statement)
        }
        defer { doomed = [] }
        return doomed
    }

    private func serverName(of statement: Statement) -> String {
        let generation = generations[statement.name] ?? 0
        return generation == 0 ? statement.name : "\(statement.name)~\(generation)"
    }
}

extension PreparedStatements {
    /// Two texts under one name; a mistake in the calling code.
    struct Conflict: Error, Equatable {
        let index: Int
    }
}
