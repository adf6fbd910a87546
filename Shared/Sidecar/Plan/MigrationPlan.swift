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

    /// Transactions in it.
    package var count: Int { transactions.count }

    /// Leaves a transaction without parts out.
    mutating func append(_ transaction: Transaction) {
        if !transaction.parts.isEmpty { transactions.append(transaction) }
    }
}

extension MigrationPlan: CustomStringConvertible {
    /// The plan for a reader: the script with a comment above each part. psql executes nothing of
    /// it.
    package var description: String {
        guard !isEmpty else {
            return "-- Nothing to do: layout, roles, grants, tables and triggers are up to date."
        }
        let count = transactions.count == 1 ? "1 transaction" : "\(transactions.count) transactions"
        return """
            -- The SQL that oversync migrate runs: \(count). Nothing has been changed yet.
            -- This is for review. `oversync migrate` executes it: the numbers of tables and the
            -- state of the database may be others by then, and it takes those of that time.
            -- Passwords are never printed: a placeholder in a comment stands where one is set.
            \(Self.guardOfText)

            \(script)

            -- End of the plan.
            """
    }

    /// Ends psql before it executes anything. A plan that is executed late, or again after a
    /// failure, would number tables in another way than their triggers.
    private static let guardOfText = """
        DO $do$ BEGIN RAISE EXCEPTION 'this plan is for review: run oversync migrate'; END $do$;
        \\quit
        """

    /// The transactions alone.
    package var script: String { transactions.map(\.text).joined(separator: "\n\n") }
}

extension MigrationPlan.Transaction {
    fileprivate var text: String {
        let begin = (["BEGIN"] + opening).map(ended).joined(separator: "\n")
        return ([begin] + parts.map(\.text) + ["COMMIT;"]).joined(separator: "\n\n")
    }
}

extension MigrationPlan.Part {
    fileprivate var text: String {
        // A line break in a name must not end the comment, nor may a name steer the terminal.
        let line = String(purpose.map { $0.isPlain ? $0 : " " })
        return "-- \(line)\n\(ended(sql))"
    }
}

/// The statement with its semicolon; a comment needs none.
private func ended(_ sql: String) -> String {
    var text = sql
    while text.last?.isWhitespace == true { text.removeLast() }
    // Each line: a name can have a line that begins like a comment.
    let isComment = text.split(separator: "\n").allSatisfy { $0.hasPrefix("--") }
    return isComment || text.hasSuffix(";") ? text : text + ";"
}

extension Character {
    /// Whether it can stand in a line of text: no line break, no control, no formatting.
    fileprivate var isPlain: Bool {
        unicodeScalars.allSatisfy {
            switch $0.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: false
            default: true
            }
        }
    }
}
