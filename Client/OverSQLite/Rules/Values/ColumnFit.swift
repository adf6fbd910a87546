/// Compares the device's columns with the server's types, to report which of them cannot hold every
/// value of the other side. What comes is kept all the same (``Exactness``).
enum ColumnFit {
    /// The kind of columns that hold JSON: of types whose values are objects or arrays, too.
    static let json = "json"
    /// Digits that every `REAL` keeps, as SQLite and PostgreSQL count them.
    private static let realDigits = 15
    /// Digits that every 64-bit integer keeps.
    private static let integerDigits = 18

    /// - Parameters:
    ///   - tables: the tables that the engine syncs.
    ///   - offered: the server's tables.
    static func notices(
        _ tables: [TableSchema], schema: String, offered: [Capabilities.Table]
    ) -> [SyncNotice] {
        let schema = schema.isEmpty ? "public" : schema
        return tables.flatMap { table -> [SyncNotice] in
            let server = offered.first { $0.schema == schema && $0.table == table.wireName }
            let types = Dictionary(
                (server?.columns ?? []).map { ($0.name, $0) },
                uniquingKeysWith: { first, _ in first })
            return table.columns.compactMap { column in
                guard !column.isKey, let type = types[column.wireName],
                    let misfit = misfit(of: column.affinity, type)
                else { return nil }
                return SyncNotice(
                    .columnType, of: "\(table.name).\(column.name)",
                    "the server's type is \(type.type), and \(misfit.what)",
                    advice: "declare the column \(misfit.declaration)")
            }
        }
    }

    /// The names of the columns that cannot hold every value of the server's type.
    static func lossyColumns(
        of table: TableSchema, _ server: [Capabilities.Column]
    ) -> [String] {
        let types = Dictionary(
            server.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return table.columns.filter { column in
            guard !column.isKey, let type = types[column.wireName] else { return false }
            return misfit(of: column.affinity, type) != nil
        }.map(\.name)
    }

    private struct Misfit {
        let what: String
        let declaration: String

        init(_ what: String, declare declaration: String) {
            self.what = what
            self.declaration = declaration
        }
    }

    private static func misfit(of affinity: Affinity, _ type: Capabilities.Column) -> Misfit? {
        switch type.kind {
        case "boolean": boolean(affinity)
        case "integer":
            affinity == .real
                ? Misfit(
                    "a number here has a fraction, which the server refuses", declare: "INTEGER")
                : nil
        case "decimal": decimal(affinity, type.type)
        case "text": text(affinity)
        case "uuid":
            affinity == .json ? Misfit("JSON puts its text in quotes", declare: "TEXT") : nil
        case "bytes": bytes(affinity)
        case "time": time(affinity)
        case json: json(affinity)
        // A float is kept by every column of numbers, and by TEXT.
        default: nil
        }
    }

    private static func boolean(_ affinity: Affinity) -> Misfit? {
        affinity == .real
            ? Misfit("a number here has a fraction, which the server refuses", declare: "BOOLEAN")
            : nil
    }

    private static func decimal(_ affinity: Affinity, _ type: String) -> Misfit? {
        if affinity == .text { return nil }
        if let (digits, scale) = precision(type) {
            if digits <= realDigits { return nil }
            if affinity != .real, scale == 0, digits <= integerDigits { return nil }
        }
        return Misfit("a number here keeps \(realDigits) digits", declare: "TEXT")
    }

    /// Of `numeric(p)` and `numeric(p,s)`; nil for a type that does not bound its digits.
    private static func precision(_ type: String) -> (digits: Int, scale: Int)? {
        guard let open = type.firstIndex(of: "("), type.hasSuffix(")") else { return nil }
        let parts = type[type.index(after: open)...].dropLast().split(separator: ",")
        guard let digits = parts.first.flatMap({ Int($0) }), parts.count <= 2 else { return nil }
        if parts.count == 1 { return (digits, 0) }
        return Int(parts[1]).map { (digits, $0) }
    }

    private static func text(_ affinity: Affinity) -> Misfit? {
        switch affinity {
        case .text, .none: nil
        case .integer, .real, .numeric:
            Misfit("text that looks like a number becomes one here", declare: "TEXT")
        case .blob: Misfit("text that is not base64 is held", declare: "TEXT")
        case .json: Misfit("JSON puts its text in quotes", declare: "TEXT")
        }
    }

    private static func bytes(_ affinity: Affinity) -> Misfit? {
        switch affinity {
        case .blob, .text, .none: nil
        case .integer, .real, .numeric, .json:
            Misfit("bytes are base64, which this column may change", declare: "BLOB")
        }
    }

    private static func time(_ affinity: Affinity) -> Misfit? {
        switch affinity {
        case .text, .none, .numeric: nil
        case .integer, .real: Misfit("times come in as text", declare: "TEXT")
        case .blob: Misfit("times are text, and rows with one are held", declare: "TEXT")
        case .json: Misfit("JSON puts its text in quotes", declare: "TEXT")
        }
    }

    private static func json(_ affinity: Affinity) -> Misfit? {
        switch affinity {
        case .json: nil
        case .text, .none, .integer, .real, .numeric:
            Misfit("new text goes out as a string and not as its JSON value", declare: "JSON")
        case .blob: Misfit("text that is not base64 is held", declare: "JSON")
        }
    }
}
