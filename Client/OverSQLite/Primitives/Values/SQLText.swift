extension String {
    /// The name as an SQL identifier, whatever characters it contains.
    var quotedIdentifier: String { "\"" + replacing("\"", with: "\"\"") + "\"" }
    /// The text as an SQL string literal.
    var quotedLiteral: String {
        // Works on bytes, like `SQLLiteral` when it reads the literal.
        let quote = UInt8(ascii: "'")
        let content = Array(utf8).replacing([quote], with: [quote, quote])
        return String(decoding: [quote] + content + [quote], as: UTF8.self)
    }
}
