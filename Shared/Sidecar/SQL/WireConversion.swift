import Model
import Postgres

/// How a payload's value becomes a column's: the type it is read as, and the expression on it.
package struct WireConversion: Sendable {
    package let fieldType: String
    private let wrap: @Sendable (String) -> String

    package init(_ column: Column) {
        let type = column.typeName
        switch PostgresType(rawValue: column.baseType) {
        case .bytea:
            fieldType = "text"
            // Base64; or a uuid's text, which is how devices write a BLOB that is a key.
            wrap = { value in
                "CASE WHEN length(\(value)) = 36 AND \(value) LIKE '________-____-____-____-____________' "
                    + "THEN uuid_send(\(value)::uuid) ELSE decode(\(value), 'base64') END"
            }
        case .uuid:
            fieldType = "text"
            wrap = { value in
                "CASE WHEN length(\(value)) = 24 THEN encode(decode(\(value), 'base64'), 'hex')::uuid "
                    + "ELSE nullif(\(value), '')::uuid END"
            }
        case .timestamptz:
            fieldType = "text"
            wrap = { value in
                "CASE WHEN \(value) ~ '^-?[0-9]+(\\.[0-9]+)?$' THEN to_timestamp(\(value)::float8) "
                    + "ELSE \(value)::timestamptz END"
            }
        default:
            fieldType = type
            wrap = { $0 }
        }
    }

    package func expression(_ value: String) -> String { wrap(value) }
}
