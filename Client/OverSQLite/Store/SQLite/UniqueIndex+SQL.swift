extension UniqueIndex {
    /// SQL that is true of the rows of the table with which another row clashes in this index.
    ///
    /// - Parameter value: SQL for the other row's value of a column.
    func clashSQL(_ value: (_ column: String) -> String) -> String {
        if isPlain {
            return zip(terms, columns).map { term, column in
                "\(compared(term, as: term.expression)) = \(value(column))"
            }.joined(separator: " AND ")
        }
        // The names in an expression are those of the innermost FROM.
        let row = columns.map { "\(value($0)) AS \($0.quotedIdentifier)" }.joined(separator: ", ")
        func ofOther(_ expression: String) -> String {
            "(SELECT \(expression) FROM (SELECT \(row)))"
        }
        var parts = terms.map { term in
            "\(compared(term, as: "(\(term.expression))")) = \(ofOther(term.expression))"
        }
        if let predicate {
            parts.insert("(\(predicate))", at: 0)
            parts.append(ofOther(predicate))
        }
        return parts.joined(separator: " AND ")
    }

    private func compared(_ term: Term, as sql: String) -> String {
        term.collation.map { "\(sql) COLLATE \($0.quotedIdentifier)" } ?? sql
    }

    /// A query of the terms' values of a row; NULL in each of them if the row is not in the index.
    ///
    /// - Parameter source: what follows FROM: where the row's columns are.
    func valuesSQL(from source: String) -> String {
        let values = terms.map { term in
            predicate.map { "CASE WHEN \($0) THEN \(term.expression) END" } ?? term.expression
        }
        return "SELECT \(values.joined(separator: ", ")) FROM \(source)"
    }
}
