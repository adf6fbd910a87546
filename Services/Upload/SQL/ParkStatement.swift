import Model
import Postgres
import Sidecar

/// Gives columns of some rows other values until the statements of the same transaction write the
/// rows' own: so two rows can exchange a unique value whatever PostgreSQL checks in between.
///
/// `$1` keys, `$2` their owner. It runs after the upload's own log rows and row states, so capture
/// takes it for a part of the upload, and devices see the last values only.
enum ParkStatement {
    /// What the names of the statements of sets begin with: their errors are about the rows.
    static let namePrefix = "upload_set"

    static func make(_ option: ParkingOption, of table: RegisteredTable) -> Statement {
        let key = quoted(table.keyColumn)
        let values = option.assignments.map {
            "\(quoted(table.columns[$0.column].name)) = \($0.value)"
        }.joined(separator: ", ")
        let free = option.free.map { " JOIN (\($0)) AS f ON f.n = k.n" } ?? ""
        let sql = """
            UPDATE \(table.name.quotedName) AS t SET \(values)
            FROM unnest($1) WITH ORDINALITY AS k(key, n)\(free)
            WHERE t.\(key) = k.key\(own(table, row: "t"))
            """
        return Statement(
            name: statementName("\(namePrefix)_park", for: sql), sql: sql,
            parameters: [keyArray(table), ownerType(table)])
    }

    /// The rows of the user: by their owner column, or by the sidecar's own record.
    static func own(_ table: RegisteredTable, row: String) -> String {
        if let owner = table.ownerColumn {
            return " AND \(row).\(quoted(owner)) = \(table.ownerValue("$2"))"
        }
        return """
             AND EXISTS (SELECT FROM sync.key_owner own
                WHERE own.table_id = \(table.id) AND own.key = \(table.storedKey(of: row))
                    AND own.scope_id = $2)
            """
    }

    static func bindings(
        _ keys: some Collection<RowKey>, _ scope: NamedScope, of table: RegisteredTable
    ) -> Bindings {
        var bindings = keyBindings(keys, of: table)
        MaterializeStatement.bind(owner: scope, of: table, to: &bindings)
        return bindings
    }

    /// Where rows stand in an index: `$1` keys, `$2` their owner; answers those that stand in it,
    /// as text. What it reads decides which changes are tried together, and goes nowhere else.
    static func places(in index: UniqueIndex, of table: RegisteredTable) -> Statement {
        // Expressions of indexes name columns alone, and perhaps the table for a whole row: so
        // nothing else stands in FROM, and the table has no other name.
        let key = quoted(table.keyColumn)
        let condition = index.condition.map { " AND (\($0))" } ?? ""
        let sql = """
            SELECT \(key)::text, \(index.key) FROM \(table.name.quotedName)
            WHERE \(key) = ANY ($1)\(notOthers(table))\(condition)
            """
        return Statement(
            name: statementName("\(namePrefix)_places", for: sql), sql: sql,
            parameters: [keyArray(table), ownerType(table)])
    }

    /// The rows that the user's changes may write: also those of nobody, which have no record until
    /// a change takes them.
    private static func notOthers(_ table: RegisteredTable) -> String {
        let name = table.name.quotedName
        guard table.ownerColumn == nil else { return own(table, row: name) }
        return """
             AND NOT EXISTS (SELECT FROM sync.key_owner own
                WHERE own.table_id = \(table.id) AND own.key = \(table.storedKey(of: name))
                    AND own.scope_id <> $2)
            """
    }

    private static func keyBindings(
        _ keys: some Collection<RowKey>, of table: RegisteredTable
    ) -> Bindings {
        var array = ArrayBinding(of: table.keyKind.type, reserving: keys.count)
        for key in keys { array.append(key: key) }
        var bindings = Bindings()
        bindings.bind(array)
        return bindings
    }

    private static func ownerType(_ table: RegisteredTable) -> PostgresType {
        table.ownerColumn == nil ? .int8 : .text
    }

    private static func keyArray(_ table: RegisteredTable) -> PostgresType {
        table.keyKind.arrayType
    }
}
