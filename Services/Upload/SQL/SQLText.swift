import Sidecar

/// A name as SQL takes it whatever characters it has.
package func quoted(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
        + "\""
}

/// Text as an SQL literal.
func literal(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
}

/// A statement name that differs whenever the text does (FNV-1a, 64 bits).
func statementName(_ prefix: String, for sql: String) -> String {
    let hash = sql.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01B3
    }
    return prefix + "_" + String(hash, radix: 16)
}

extension RegisteredTable {
    /// The user's id, bound as text, in the type of the owner column.
    func ownerValue(_ parameter: String) -> String {
        let type = columns.first { $0.name == ownerColumn }?.typeName ?? "text"
        return type == "text" ? parameter : "\(parameter)::text::\(type)"
    }
}
