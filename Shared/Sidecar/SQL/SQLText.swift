import Model
import Postgres

/// A name as SQL takes it whatever characters it has.
package func quoted(_ name: String) -> String {
    "\"" + doubling("\"", in: name) + "\""
}

/// Text as an SQL literal.
package func literal(_ text: String) -> String {
    "'" + doubling("'", in: text) + "'"
}

/// By scalars: a quote with a mark after it is one character, and not that of the quote.
private func doubling(_ quote: Unicode.Scalar, in text: String) -> String {
    var doubled = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        doubled.append(scalar)
        if scalar == quote { doubled.append(scalar) }
    }
    return String(doubled)
}

/// A statement name that differs whenever the text does.
package func statementName(_ prefix: String, for sql: String) -> String {
    prefix + "_" + fingerprint(of: sql)
}

/// FNV-1a of a text, 64 bits, in hexadecimal digits.
package func fingerprint(of text: String) -> String {
    let hash = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01B3
    }
    return String(hash, radix: 16)
}

extension TableName {
    /// The table as SQL takes it.
    package var quotedName: String { "\(quoted(schema)).\(quoted(table))" }
}

extension RegisteredTable {
    /// The user's id, bound as text, in the type of the owner column.
    ///
    /// Without a length: a cast to `varchar(10)` cuts without a word, and two users would be one. So a row of a user
    /// whose id does not fit is refused by the column.
    package func ownerValue(_ parameter: String) -> String {
        guard let column = columns.first(where: { $0.name == ownerColumn }) else {
            return parameter
        }
        return switch PostgresType(rawValue: column.baseType) {
        case .text: parameter
        case .varchar: "\(parameter)::text::character varying"
        case .bpchar: "\(parameter)::text::bpchar"
        default: "\(parameter)::text::\(column.typeName)"
        }
    }

    /// The key column of `row` as the sidecar stores keys.
    package func storedKey(of row: String) -> String {
        let key = "\(row).\(quoted(keyColumn))"
        return keyKind == .uuid ? "uuid_send(\(key))" : "convert_to(\(key)::text, 'UTF8')"
    }
}

extension Duration {
    /// As PostgreSQL's timeouts take it.
    var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
