/// The SQL of one run of `oversync migrate`, in the order of execution.
package struct MigrationPlan: Hashable, Sendable {
    /// One change and what it is for.
    struct Part: Hashable {
        let purpose: String
        let sql: String
    }

    /// Parts that take effect together or not at all.
    struct Transaction: Hashable {
        /// Locks and settings, which come first and change nothing.
        var opening: [String]
        var parts: [Part] = []
    }

    private(set) var transactions: [Transaction] = []

    package init() {}

    /// Nothing is to be done.
    package var isEmpty: Bool { transactions.isEmpty }

    /// Leaves a transaction without parts out.
    mutating func append(_ transaction: Transaction) {
        if !transaction.parts.isEmpty { transactions.append(transaction) }
    }
}

extension MigrationPlan: CustomStringConvertible {
    /// SQL that psql takes, with a comment above each part.
    package var description: String {
        guard !isEmpty else {
            return "-- Nothing to do: layout, roles, grants, tables and triggers are up to date."
        }
        let count = transactions.count == 1 ? "1 transaction" : "\(transactions.count) transactions"
        let header = """
            -- The SQL that oversync migrate runs: \(count). Nothing has been changed yet.
            -- Passwords are never printed: a placeholder in a comment stands where one is set.
            """
        return ([header] + transactions.map(\.text)).joined(separator: "\n\n")
    }
}

extension MigrationPlan.Transaction {
    fileprivate var text: String {
        let begin = (["BEGIN"] + opening).map(ended).joined(separator: "\n")
        return ([begin] + parts.map(\.text) + ["COMMIT;"]).joined(separator: "\n\n")
    }
}

extension MigrationPlan.Part {
    fileprivate var text: String {
        // A line break in a name must not end the comment.
        let line = String(purpose.map { $0.isNewline ? " " : $0 })
        return "-- \(line)\n\(ended(sql))"
    }
}

/// The statement with its semicolon; a comment needs none.
private func ended(_ sql: String) -> String {
    var text = sql
    while text.last?.isWhitespace == true { text.removeLast() }
    let isComment = text.split(separator: "\n").last?.hasPrefix("--") == true
    return isComment || text.hasSuffix(";") ? text : text + ";"
}
