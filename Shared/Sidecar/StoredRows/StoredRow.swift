import Model

/// Compares a business row with the payload that a device sent for it, as SQL.
package struct StoredRow {
    private let table: RegisteredTable

    package init(_ table: RegisteredTable) {
        self.table = table
    }

    /// What stood in the columns that a statement does not write.
    package enum Before {
        /// Nothing: the row is new.
        case nothing
        /// What the log says.
        case logged
        /// Nothing, or a row that the log does not know.
        case unlogged
    }

    /// The columns that devices see but the key, which no payload decides, with their places in the
    /// table.
    private static func comparable(
        _ table: RegisteredTable
    ) -> [(index: Int, column: Column)] {
        let shown = Set(WireRendering.shown(of: table).map(\.name))
        return table.columns.enumerated().filter {
            shown.contains($0.element.name) && $0.element.name != table.keyColumn
        }.map { ($0.offset, $0.element) }
    }

    /// Whether PostgreSQL may store a row otherwise than a payload says, or with more than it says:
    /// by the types of the columns that it names, by the defaults of those that it does not, by
    /// generated columns and by triggers. All of that is in PostgreSQL's catalog. A table without
    /// it stores exactly what it is given.
    ///
    /// - Parameters:
    ///   - isCreation: the row is new.
    ///   - isOrdinary: the payload has ordinary values alone, where a type takes those as they are.
    ///   - names: whether the statement writes a column, by its place in the table.
    package static func mayDiffer(
        _ table: RegisteredTable, isCreation: Bool, isOrdinary: Bool = false,
        names: (Int) -> Bool
    ) -> Bool {
        if table.hasRowTriggers { return true }
        return comparable(table).contains { index, column in
            if column.isReadOnly { return true }
            guard names(index) else { return isCreation && column.hasDefault }
            return !column.isExact && !(isOrdinary && column.ordinary != nil)
        }
    }

    /// The same of any payload.
    package static func mayDiffer(_ table: RegisteredTable) -> Bool {
        mayDiffer(table, isCreation: true, names: { _ in true })
            || mayDiffer(table, isCreation: true, names: { _ in false })
    }

    /// A condition: the row holds another value than the payload says, or one that it does not say.
    /// Only what may differ is looked at.
    ///
    /// - Parameters:
    ///   - row: the business row's alias.
    ///   - payload: an expression of type json that no `\u0000` is in.
    ///   - names: whether the payload names a column, by its place in the table, other than by a
    ///     null that means its default.
    package func differs(
        row: String, payload: String, before: Before, names: (Int) -> Bool
    ) -> String {
        var tests: [String] = []
        var compared: [Column] = []
        for (index, column) in Self.comparable(table) {
            // PostgreSQL may have changed it, and what it was before is not known here.
            let isMade = table.hasRowTriggers || column.isReadOnly
            if names(index) {
                guard isMade || !column.isExact else { continue }
                if column.isReadOnly {
                    tests.append("NOT \(isSameComputed(column, row: row, payload: payload))")
                    continue
                }
                compared.append(column)
                tests.append("NOT \(isSame(column, row: row, payload: payload))")
            } else if isMade || before == .unlogged || before == .nothing && column.hasDefault {
                tests.append("\(row).\(quoted(column.name)) IS NOT NULL")
            }
        }
        guard !tests.isEmpty else { return "false" }
        let condition = tests.joined(separator: "\n                OR ")
        guard !compared.isEmpty else { return "(\(condition))" }
        return """
            (SELECT \(condition)
                FROM json_to_record(\(payload)) AS p(\(fields(compared))))
            """
    }

    /// The fields of a `json_to_record` that `isSame` finds under `p`.
    func fields(_ columns: [Column]) -> String {
        columns.map { "\(quoted($0.wireName)) \(SentValue($0).fieldType)" }
            .joined(separator: ", ")
    }

    /// A condition, of a payload that names the column.
    func isSame(_ column: Column, row: String, payload: String) -> String {
        SentValue(column).isSame(
            sent: "p.\(quoted(column.wireName))",
            raw: "(\(payload) ->> \(literal(column.wireName)))",
            stored: "\(row).\(quoted(column.name))")
    }

    /// The same of a column that is never written. What a payload says of it may be anything, which
    /// the column's type would refuse: so it is not read as that type.
    private func isSameComputed(_ column: Column, row: String, payload: String) -> String {
        SentValue(column).isSameText(
            raw: "(\(payload) ->> \(literal(column.wireName)))",
            stored: "\(row).\(quoted(column.name))",
            rendered: WireRendering.expression(column, row))
    }

    /// The row as devices see it, with the payload's members that name no column. The owner's
    /// column, which devices do not see, stays as it was sent.
    ///
    /// A row that devices cannot take stops the statement, as where plain SQL writes it.
    ///
    /// - Parameter hasMore: whether the payload may have members that name no column.
    package func payload(row: String, sent: String, hasMore: Bool, storedKey: String) -> String {
        let rendered = WireRendering.payload(of: table, row: row)
        let unsendable = UnsendableRow(table: table)
        return """
            (SELECT CASE
                WHEN \(unsendable.isTooLarge("w.payload")) THEN sync.refuse_row('54000',
                    format('a row of \(doubled(table.name)) is too large for devices: '
                        || '%s bytes as JSON, at most %s',
                        \(unsendable.size("w.payload")), \(UnsendableRow.largestBytes)),
                    format('Key %s.', left(\(unsendable.keyText(storedKey)), 64)), '')
                ELSE \(hasMore ? withMore(sent) : "w.payload") END
            FROM (SELECT \(rendered) AS payload) AS w)
            """
    }

    /// A rendered row `w.payload` with the payload's members that name no column.
    private func withMore(_ sent: String) -> String {
        let names = WireRendering.shown(of: table).map { literal($0.wireName) }
            .joined(separator: ", ")
        return """
            coalesce((SELECT (left(w.payload::text, -1)
                || string_agg(format(',%s:%s', to_json(b.key), b.value), '') || '}')::json
                FROM json_each(\(sent)) AS b WHERE b.key <> ALL (ARRAY[\(names)])), w.payload)
            """
    }

    /// For a literal that `format` reads.
    private func doubled(_ name: TableName) -> String {
        String(literal(name.description).dropFirst().dropLast()).replacing("%", with: "%%")
    }
}

extension Column {
    /// What payloads call it.
    var wireName: String { name.lowercased() }
}
