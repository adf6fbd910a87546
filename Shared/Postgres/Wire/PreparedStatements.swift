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
        /// It goes with its text, without a name.
        case sendText
    }

    private struct Entry {
        let statement: Statement
        let serverName: String
        var lastUse: Int
    }

    private let limit: Int
    private var entries: [String: Entry] = [:]
    /// How many statements were made invalid: what is prepared from then on gets another name on the server, so that
    /// it never depends on an old one having been deallocated.
    private var generation = 0
    /// The names on the server of what the last pipeline prepares.
    private var planned: [String: String] = [:]
    /// Names on the server that nobody uses any more.
    private var doomed: [String] = []
    private var clock = 0
    /// How often somebody has removed statements.
    private var removals = 0
    /// After this many removals nothing is prepared any more: their cause will do it again, as a
    /// trigger does with each row, and each time costs a transaction.
    private static let maximumRemovals = 2

    /// Whether statements last from one pipeline to the next.
    var last: Bool { removals < Self.maximumRemovals }

    init(limit: Int) {
        self.limit = max(limit, 1)
    }

    var count: Int { entries.count }

    /// Plans one pipeline, or returns the index of a statement whose name belongs to another text.
    mutating func plan(_ statements: [Statement]) -> Result<[Plan], Conflict> {
        var made: [String: Statement] = [:]
        planned.removeAll(keepingCapacity: true)
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
            } else if let name = planned[statement.name] {
                plans.append(.execute(name))
            } else {
                let name = freshName(of: statement)
                made[statement.name] = statement
                planned[statement.name] = name
                plans.append(.prepare(name))
            }
        }
        return .success(plans)
    }

    /// The server has prepared the statement.
    mutating func confirm(_ statement: Statement) {
        entries[statement.name] = Entry(
            statement: statement,
            serverName: planned[statement.name] ?? freshName(of: statement), lastUse: clock)
    }

    /// The server's plan is stale or gone; the next use prepares it again.
    mutating func invalidate(_ statement: Statement) {
        guard let entry = entries.removeValue(forKey: statement.name) else { return }
        generation += 1
        doomed.append(entry.serverName)
    }

    /// The server does not know a statement that was prepared: something removed it, such as a
    /// trigger with DEALLOCATE ALL, has removed the others, too. The next uses prepare them again.
    mutating func invalidateAll() {
        removals += 1
        for entry in entries.values { invalidate(entry.statement) }
    }

    /// Takes the names to deallocate now. Only outside a transaction, where a failure to do so
    /// harms nothing; inside one the limit may be exceeded.
    mutating func takeDoomed() -> [String] {
        if entries.count > limit {
            let byAge = entries.values.sorted { $0.lastUse < $1.lastUse }
            for entry in byAge.prefix(entries.count - limit) { invalidate(entry.statement) }
        }
        defer { doomed = [] }
        return doomed
    }

    private func freshName(of statement: Statement) -> String {
        // In few digits, as the server's names are not long.
        generation == 0 ? statement.name : "\(statement.name)~\(String(generation, radix: 36))"
    }
}

extension PreparedStatements {
    /// Two texts under one name; a mistake in the calling code.
    struct Conflict: Error, Equatable {
        let index: Int
    }
}
