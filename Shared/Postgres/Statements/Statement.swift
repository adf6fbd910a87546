/// How the server renders the columns of a result.
package enum ResultFormat: Int32, Sendable, Hashable {
    case text = 0
    case binary = 1
}

/// One static SQL statement. It is prepared once per connection, under its name.
///
/// The name belongs to exactly one text: a connection that meets the same name with other SQL
/// refuses it as misuse. Declare `parameters` whenever a parameter is not of a type that the server
/// infers from the text, because all values travel in binary form.
package struct Statement: Sendable, Hashable {
    /// The longest name in bytes, since SQL's DEALLOCATE would cut a longer one.
    package static let maximumNameLength = 56

    package let name: String
    package let sql: String
    package let parameters: [PostgresType]
    package let results: ResultFormat

    /// - Parameter parameters: types in the order of `$1`, `$2`, …; empty lets the server infer.
    package init(
        name: String, sql: String, parameters: [PostgresType] = [], results: ResultFormat = .text
    ) {
        self.name = name
        self.sql = sql
        self.parameters = parameters
        self.results = results
    }

    package static func == (left: Statement, right: Statement) -> Bool {
        left.name == right.name && left.sql == right.sql && left.parameters == right.parameters
            && left.results == right.results
    }

    /// It ends a transaction and keeps what that has written.
    var commits: Bool { sql.hasPrefix("COMMIT") }

    /// Names are unique, so they suffice and spare hashing the text.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(name)
    }
}

/// A statement together with the values of one execution.
package struct Command: Sendable {
    package let statement: Statement
    package let bindings: Bindings

    package init(_ statement: Statement, _ bindings: Bindings = Bindings()) {
        self.statement = statement
        self.bindings = bindings
    }

    /// Why this command cannot be sent, or nil. Catches what the server might misread in silence.
    var flaw: String? {
        if statement.name.isEmpty || statement.name.utf8.count > Statement.maximumNameLength {
            return "a statement name has 1 to \(Statement.maximumNameLength) bytes"
        }
        if bindings.count > Bindings.maximumCount {
            return "more than \(Bindings.maximumCount) parameters"
        }
        if statement.parameters.isEmpty { return nil }
        if statement.parameters.count != bindings.count {
            return "\(bindings.count) values for \(statement.parameters.count) parameters"
        }
        return bindings.mismatch(with: statement.parameters).map {
            "parameter \($0 + 1) is bound as another type"
        }
    }
}
