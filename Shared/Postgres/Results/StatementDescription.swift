import CLibPQ

/// What the server says about a prepared statement.
package struct StatementDescription: Sendable, Equatable {
    package struct Column: Sendable, Equatable {
        package let name: String
        package let type: PostgresType

        package init(name: String, type: PostgresType) {
            self.name = name
            self.type = type
        }
    }

    package let parameters: [PostgresType]
    package let columns: [Column]

    init(_ result: PostgresResult) {
        let pointer = result.pointer
        parameters = (0..<PQnparams(pointer)).map {
            PostgresType(rawValue: PQparamtype(pointer, $0))
        }
        columns = (0..<result.columnCount).map {
            Column(name: result.columnName($0), type: result.columnType($0))
        }
    }
}
