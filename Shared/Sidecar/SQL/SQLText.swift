import Model

/// A name as SQL takes it whatever characters it has.
package func quoted(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
        + "\""
}

/// Text as an SQL literal.
package func literal(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
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
    package func ownerValue(_ parameter: String) -> String {
        let type = columns.first { $0.name == ownerColumn }?.typeName ?? "text"
        return type == "text" ? parameter : "\(parameter)::text::\(type)"
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
