import Model
import Postgres
import Sidecar

/// Which of some parent rows exist for this user: one statement for each foreign key.
///
/// A registered parent counts only if it is the user's own (promise P6): by its owner column, or, where the
/// table has none, by the sidecar. A parent that is not registered is shared reference data.
///
/// `$1` is the user; then come the values, an array for each column. Where it is the sidecar that
/// knows whose the parents are, the scope comes last.
enum ParentStatement {
    static func make(_ foreignKey: CheckedForeignKey, in schema: UploadSchema) -> Statement {
        let parent = foreignKey.key.parent
        let pairs = foreignKey.payloadPairs
        let arrays = pairs.enumerated().map { "$\($0 + 2)::\(arrayType($1.type))" }.joined(
            separator: ", ")
        let names = pairs.indices.map { "v\($0)" }.joined(separator: ", ")
        var conditions = pairs.enumerated().map { "p.\(quoted($1.parentColumn)) = k.v\($0)" }
        let child = schema.tables[foreignKey.child].registered
        conditions += foreignKey.ownerColumns.map { "p.\(quoted($0)) = \(child.ownerValue("$1"))" }
        var join = ""
        var isConfined = "$1::text IS NOT NULL"
        let scope = pairs.count + 2
        if let registered = foreignKey.parent.map({ schema.tables[$0].registered }) {
            if let owner = registered.ownerColumn {
                conditions.append("p.\(quoted(owner)) = \(registered.ownerValue("$1"))")
            } else {
                join = " " + ownRow(registered, scope: scope)
                isConfined = """
                    EXISTS (SELECT FROM sync.scope s
                        WHERE \(NamedScope.condition("s", scope: scope, user: 1)))
                    """
            }
        }
        let values = "unnest(\(arrays)) WITH ORDINALITY AS k(\(names), n)"
        let condition = conditions.joined(separator: " AND ")
        var sql = """
            SELECT k.n::int8 FROM \(values)
            CROSS JOIN LATERAL (
                SELECT FROM \(quoted(parent.schema)).\(quoted(parent.table)) AS p\(join)
                WHERE \(condition) LIMIT 1
            ) AS found
            WHERE \(isConfined)
            """
        if let policies = foreignKey.parent.flatMap({
            HidingPolicies(schema.tables[$0].registered)
        }) {
            // A parent that policies hide is there all the same, as PostgreSQL's own check sees it.
            let rows = policies.rows(
                with: pairs[0].parentColumn, in: "$2::\(arrayType(pairs[0].type))")
            sql = """
                SELECT k.n::int8 FROM \(values)
                WHERE \(isConfined) AND EXISTS (
                    SELECT FROM \(rows) AS p\(join) WHERE \(condition))
                """
        }
        let isOfScope = isOfScope(foreignKey, in: schema)
        return Statement(
            name: statementName("upload_parents", for: sql), sql: sql,
            parameters: [.text] + pairs.map { arrayOID($0.type) } + (isOfScope ? [.int8] : []))
    }

    /// Whether it is the sidecar that knows whose the parents are.
    private static func isOfScope(
        _ foreignKey: CheckedForeignKey, in schema: UploadSchema
    ) -> Bool {
        guard let parent = foreignKey.parent else { return false }
        return schema.tables[parent].registered.ownerColumn == nil
    }

    private static func ownRow(_ table: RegisteredTable, scope: Int) -> String {
        return """
            JOIN sync.row_state r ON r.scope_id = $\(scope)
                AND r.table_id = \(table.id) AND r.key = \(table.storedKey(of: "p")) AND NOT r.deleted
            """
    }

    private static func arrayType(_ type: CheckedForeignKey.ValueType) -> String {
        switch type {
        case .uuid: "uuid[]"
        case .integer: "int8[]"
        case .text: "text[]"
        }
    }

    private static func arrayOID(_ type: CheckedForeignKey.ValueType) -> PostgresType {
        switch type {
        case .uuid: .uuidArray
        case .integer: .int8Array
        case .text: .textArray
        }
    }

    /// The values to look for, and the order in which the answer's numbers count them.
    static func bindings(
        _ scope: NamedScope, _ foreignKey: CheckedForeignKey, _ references: [ParentReference],
        in schema: UploadSchema
    ) -> Bindings {
        var bindings = Bindings()
        bindings.bind(scope.user.value)
        for (position, pair) in foreignKey.payloadPairs.enumerated() {
            var array = ArrayBinding(
                of: arrayOID(pair.type).arrayElement ?? .text, reserving: references.count)
            for reference in references {
                switch reference.values[position] {
                case .uuid(let key): key.withStoredBytes { array.append(bytes: $0) }
                case .integer(let number): array.append(number)
                case .text(let text): array.append(text.value)
                }
            }
            bindings.bind(array)
        }
        if isOfScope(foreignKey, in: schema) { bindings.bind(scope.id) }
        return bindings
    }
}
