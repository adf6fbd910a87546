/// A unique index of a synced table, other than the one on its key.
///
/// It may be partial, or be on expressions. Rows can be removed through it by writes with OR
/// REPLACE, and two rows can exchange its values.
struct UniqueIndex: Sendable, Hashable {
    /// A column or an expression of the index.
    struct Term: Sendable, Hashable {
        /// SQL over the table's columns; for a column, its quoted name.
        let expression: String
        /// The collation to compare with; nil if it is the column's own.
        let collation: String?
    }

    /// What it is called in messages.
    let name: String
    let terms: [Term]
    /// The condition of a partial index; nil if the index has all rows.
    let predicate: String?
    /// The names of the columns that the terms read, and then those that only the condition reads.
    let columns: [String]
    /// Whether it is on a generated column, whose value follows from others.
    let readsGenerated: Bool
    /// The defaults, as SQL, of those columns that are NOT NULL. OR REPLACE writes them for NULL.
    let defaults: [String: String]

    /// Whether its terms are columns and it has no condition.
    var isPlain: Bool {
        predicate == nil && terms.map(\.expression) == columns.map(\.quotedIdentifier)
    }
}

/// The parts of a `CREATE INDEX` statement. SQLite itself reports columns only, no expressions.
struct IndexText {
    /// The columns and expressions, without ASC and DESC.
    let terms: [String]
    let predicate: String?

    /// - Parameter statement: as SQLite keeps it, so that its syntax is right.
    /// - Returns: nil if it has no list of columns.
    init?(_ statement: String) {
        let bytes = Array(statement.utf8)
        var (depth, isPast) = (0, false)
        var (terms, current, rest): ([[UInt8]], [UInt8], [UInt8]) = ([], [], [])
        var start = 0
        while start < bytes.count {
            let end = Self.endOfToken(at: start, in: bytes)
            let text = Array(bytes[start..<end])
            let token = Self.isComment(text) ? [UInt8(ascii: " ")] : text
            start = end
            if isPast {
                rest += token
                continue
            }
            if token == [UInt8(ascii: "(")] { depth += 1 }
            if token == [UInt8(ascii: ")")] { depth -= 1 }
            let isOuter = depth == 1
            switch token {
            case [UInt8(ascii: "(")] where isOuter: continue
            case [UInt8(ascii: ",")] where isOuter:
                terms.append(current)
                current = []
            case [UInt8(ascii: ")")] where depth == 0:
                terms.append(current)
                isPast = true
            default: if depth > 0 { current += token }
            }
        }
        guard isPast else { return nil }
        self.terms = terms.map { Self.withoutOrder(Self.trimmed($0[...])) }
        let condition = Self.trimmed(rest[...])
        let word = Array("WHERE".utf8)
        guard Self.isWord(word, condition.prefix(word.count)) else {
            predicate = nil
            return
        }
        predicate = String(
            decoding: Self.trimmed(condition.dropFirst(word.count)), as: UTF8.self)
    }

    private static func isComment(_ token: [UInt8]) -> Bool {
        token.starts(with: "--".utf8) || token.starts(with: "/*".utf8)
    }

    /// The end of a comment, of a quoted text, or of one byte.
    private static func endOfToken(at start: Int, in bytes: [UInt8]) -> Int {
        let rest = bytes[start...]
        if rest.starts(with: "--".utf8) {
            return (rest.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count - 1) + 1
        }
        if rest.starts(with: "/*".utf8) {
            var index = start + 2
            while index + 1 < bytes.count {
                if bytes[index] == UInt8(ascii: "*"), bytes[index + 1] == UInt8(ascii: "/") {
                    return index + 2
                }
                index += 1
            }
            return bytes.count
        }
        let quotes = [UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`")]
        guard quotes.contains(bytes[start]) || bytes[start] == UInt8(ascii: "[") else {
            return start + 1
        }
        // A doubled quote ends one text and begins the next, which comes to the same.
        let closing = bytes[start] == UInt8(ascii: "[") ? UInt8(ascii: "]") : bytes[start]
        return (rest.dropFirst().firstIndex(of: closing) ?? bytes.count - 1) + 1
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte >= 0x09 && byte <= 0x0D }
        let start = bytes.drop(while: isSpace)
        return start.dropLast(start.reversed().prefix(while: isSpace).count)
    }

    /// The order of an index says nothing about which rows are equal.
    private static func withoutOrder(_ term: ArraySlice<UInt8>) -> String {
        for word in ["ASC", "DESC"] {
            let length = word.utf8.count
            guard term.count > length, isWord(Array(word.utf8), term.suffix(length)),
                let before = term.dropLast(length).last, !isOfName(before)
            else { continue }
            return String(decoding: trimmed(term.dropLast(length)), as: UTF8.self)
        }
        return String(decoding: term, as: UTF8.self)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || byte >= 0x80 || byte &- UInt8(ascii: "0") < 10
            || (byte | 0x20) &- UInt8(ascii: "a") < 26
    }

    /// - Parameter word: in capitals.
    private static func isWord(_ word: [UInt8], _ bytes: some Collection<UInt8>) -> Bool {
        word.elementsEqual(bytes.map { $0 >= UInt8(ascii: "a") ? $0 & 0xDF : $0 })
    }
}
