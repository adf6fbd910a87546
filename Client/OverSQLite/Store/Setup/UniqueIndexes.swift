import GRDB

/// Finds the unique indexes of a table, also partial ones and those on expressions, and the number
/// of its rows.
struct UniqueIndexes {
    /// What is known of a column.
    struct ColumnFacts {
        let name: String
        let isGenerated: Bool
        /// The default, as SQL, of a column that is NOT NULL; nil otherwise.
        let defaultIfRequired: String?
    }

    let db: Database
    let table: String
    let columns: [ColumnFacts]

    /// Those other than the key's own, plain ones first.
    func all(key: String) throws -> [UniqueIndex] {
        let names = try Row.fetchAll(
            db,
            sql: """
                SELECT l.name, m.sql FROM pragma_index_list(?) AS l
                LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name
                WHERE l."unique"
                """, arguments: [table])
        var found = try names.compactMap { try index($0["name"], $0["sql"]) }
            .filter { !($0.isPlain && $0.columns == [key]) }
        if let number = try rowNumber(), number != key,
            !found.contains(where: { $0.isPlain && $0.columns == [number] })
        {
            found.append(
                plain(
                    "\(table).\(number)",
                    [.init(expression: number.quotedIdentifier, collation: nil)], [number]))
        }
        return try found.filter(\.isPlain) + found.filter { try !$0.isPlain && isUsable($0) }
    }

    private func index(_ name: String, _ sql: String?) throws -> UniqueIndex? {
        let rows = try Row.fetchAll(
            db, sql: "SELECT cid, name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno",
            arguments: [name])
        let text = sql.flatMap(IndexText.init)
        let names = rows.map { $0["name"] as String? }
        var terms: [UniqueIndex.Term] = []
        for (place, row) in rows.enumerated() {
            let collation: String = row["coll"]
            if let column = names[place] {
                let own = KeyCollation.ofColumn(column, in: table, db)
                terms.append(
                    .init(
                        expression: column.quotedIdentifier,
                        collation: own.uppercased() == collation.uppercased() ? nil : collation))
            } else {
                guard let text, text.terms.count == rows.count else { return nil }
                terms.append(.init(expression: text.terms[place], collation: collation))
            }
        }
        let columns = names.compactMap { $0 }
        if text?.predicate == nil, columns.count == names.count {
            return plain(name, terms, columns)
        }
        // Whatever else the text mentions may be read; one too many does no harm.
        let parts = text.map { $0.terms + [$0.predicate ?? ""] } ?? []
        let mentioned = parts.joined(separator: " ").lowercased()
        let others = self.columns.map(\.name).filter {
            !columns.contains($0) && mentioned.contains($0.lowercased())
        }
        return described(name, terms, text?.predicate, columns + others)
    }

    private func plain(
        _ name: String, _ terms: [UniqueIndex.Term], _ columns: [String]
    ) -> UniqueIndex {
        described(
            name.hasPrefix("sqlite_") ? "(\(columns.joined(separator: ", ")))" : name, terms, nil,
            columns)
    }

    private func described(
        _ name: String, _ terms: [UniqueIndex.Term], _ predicate: String?, _ names: [String]
    ) -> UniqueIndex {
        let facts = columns.filter { names.contains($0.name) }
        let defaults = facts.compactMap { fact in
            fact.defaultIfRequired.map { (fact.name, $0) }
        }
        return UniqueIndex(
            name: name, terms: terms, predicate: predicate, columns: names,
            readsGenerated: facts.contains(where: \.isGenerated),
            defaults: Dictionary(defaults) { first, _ in first })
    }

    /// The column that stands for the row's number; nil if there is none.
    private func rowNumber() throws -> String? {
        try String.fetchOne(
            db,
            sql: """
                SELECT name FROM pragma_table_info(:table)
                WHERE pk = 1 AND upper(type) = 'INTEGER'
                  AND (SELECT count(*) FROM pragma_table_info(:table) WHERE pk > 0) = 1
                """, arguments: ["table": table])
    }

    /// Whether SQLite understands the index's conditions where this library writes them. A trigger
    /// that it did not understand would fail the app's writes.
    private func isUsable(_ index: UniqueIndex) throws -> Bool {
        do {
            _ = try db.makeStatement(
                sql: """
                    SELECT 1 FROM \(table.quotedIdentifier)
                    WHERE \(index.clashSQL { _ in "NULL" })
                    """)
            return true
        } catch let error as DatabaseError where error.resultCode == .SQLITE_ERROR {
            return false
        }
    }
}
