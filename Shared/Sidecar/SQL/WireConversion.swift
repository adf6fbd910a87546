import Model
import Postgres

/// How a payload's value becomes a column's: the type it is read as, and the expression on it.
package struct WireConversion: Sendable {
    package let fieldType: String
    private let wrap: @Sendable (String) -> String
    /// See ``expression(ofText:)``.
    private let textType: String?

    /// Types whose values come out the same where they are cast from text and then assigned to the
    /// column as where they are read with the column's modifier.
    private static let textTypes: Set<UInt32> = Set(
        [PostgresType.text, .varchar, .bpchar, .bool, .int2, .int4, .int8, .float8].map(\.rawValue)
            + [
                // float4, date, time, timestamp, numeric
                700, 1082, 1083, 1114, SentValue.numeric,
            ])

    package init(_ column: Column) {
        let type = column.typeName
        // A cast to a domain cuts what is too long for the type below it.
        let isOfText = column.type == column.baseType && Self.textTypes.contains(column.baseType)
        textType = isOfText ? column.plainType.name : nil
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
            let isHstore = column.plainType.isHstore
            fieldType = isHstore ? "json" : type
            wrap = { isHstore ? Self.hstore($0, type) : $0 }
        }
    }

    /// PostgreSQL writes an `hstore` as an object, and reads none: its members are written as the
    /// type reads them.
    private static func hstore(_ value: String, _ type: String) -> String {
        func text(_ item: String) -> String {
            #"'"' || replace(replace(\#(item), E'\\', E'\\\\'), '"', E'\\"') || '"'"#
        }
        let member = "\(text("m.key")) || '=>' || coalesce(\(text("m.value")), 'NULL')"
        let members =
            "(SELECT string_agg(\(member), ',') FROM json_each_text(\(value)) AS m)"
        return """
            CASE WHEN json_typeof(\(value)) = 'object' THEN coalesce(\(members), '')::\(type)
                ELSE (\(value) #>> '{}')::\(type) END
            """
    }

    package func expression(_ value: String) -> String { wrap(value) }

    /// The expression on a value's text alone: of a string its characters, of a number or a boolean
    /// its JSON.
    ///
    /// - Returns: nil for a column whose values have to come as JSON.
    package func expression(ofText value: String) -> String? {
        if fieldType == "text", textType == nil { return wrap(value) }
        return textType.map { "\(value)::\($0)" }
    }
}
