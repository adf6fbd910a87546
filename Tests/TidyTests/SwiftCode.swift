/// Swift source without its comments and without the text of its strings, line for line.
///
/// The code inside of interpolations stays. A lexer of sixty lines, not a parser: it knows enough
/// Swift to keep a word in a comment or in SQL from being taken for code.
struct SwiftCode {
    private let source: [UInt8]
    private var position = 0
    private var output: [UInt8] = []

    /// - Returns: the code; what was taken out is blank, so that lines and columns stay.
    static func strip(_ text: String) -> String {
        var scanner = SwiftCode(source: Array(text.utf8))
        scanner.output.reserveCapacity(scanner.source.count)
        scanner.code(untilParenthesis: false)
        return String(decoding: scanner.output, as: UTF8.self)
    }

    private init(source: [UInt8]) { self.source = source }

    private func starts(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard position + count <= source.count else { return false }
        return (0..<count).allSatisfy { source[position + $0] == text.utf8Start[$0] }
    }

    private mutating func keep() {
        output.append(source[position])
        position += 1
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where position < source.count {
            output.append(source[position] == UInt8(ascii: "\n") ? source[position] : 0x20)
            position += 1
        }
    }

    private mutating func code(untilParenthesis: Bool) {
        var depth = 0
        while position < source.count {
            if starts("//") {
                while position < source.count, source[position] != UInt8(ascii: "\n") { blank() }
            } else if starts("/*") {
                comment()
            } else if let hashes = stringStart() {
                string(hashes: hashes)
            } else if isRegex {
                regex()
            } else {
                switch source[position] {
                case UInt8(ascii: "("): depth += 1
                case UInt8(ascii: ")"):
                    if untilParenthesis, depth == 0 { return }
                    depth -= 1
                default: break
                }
                keep()
            }
        }
    }

    private mutating func comment() {
        var depth = 0
        repeat {
            if starts("/*") {
                depth += 1
            } else if starts("*/") {
                depth -= 1
            } else {
                blank()
                continue
            }
            blank(2)
        } while depth > 0 && position < source.count
    }

    /// The number of `#` before a string that begins here; nil if none does.
    private func stringStart() -> Int? {
        var place = position
        while place < source.count, source[place] == UInt8(ascii: "#") { place += 1 }
        guard place < source.count, source[place] == UInt8(ascii: "\"") else { return nil }
        return place - position
    }

    private mutating func string(hashes: Int) {
        for _ in 0..<hashes { keep() }
        let isLong = starts("\"\"\"")
        let quotes = isLong ? 3 : 1
        for _ in 0..<quotes { keep() }
        while position < source.count {
            if endsString(quotes: quotes, hashes: hashes) {
                for _ in 0..<quotes + hashes { keep() }
                return
            }
            if source[position] == UInt8(ascii: "\\"), hasHashes(hashes, at: position + 1) {
                blank(1 + hashes)
                guard position < source.count, source[position] == UInt8(ascii: "(") else {
                    blank()
                    continue
                }
                keep()
                code(untilParenthesis: true)
                if position < source.count { keep() }
            } else {
                if !isLong, source[position] == UInt8(ascii: "\n") { return }
                blank()
            }
        }
    }

    private func hasHashes(_ count: Int, at place: Int) -> Bool {
        place + count <= source.count
            && source[place..<place + count].allSatisfy { $0 == UInt8(ascii: "#") }
    }

    private func endsString(quotes: Int, hashes: Int) -> Bool {
        guard position + quotes + hashes <= source.count else { return false }
        return source[position..<position + quotes].allSatisfy { $0 == UInt8(ascii: "\"") }
            && hasHashes(hashes, at: position + quotes)
    }

    /// Whether a regular expression begins here: a slash where an operand is expected, and another
    /// on the line.
    private var isRegex: Bool {
        guard source[position] == UInt8(ascii: "/"), position + 1 < source.count,
            source[position + 1] != UInt8(ascii: " "),
            let before = output.last(where: { $0 != 0x20 && $0 != UInt8(ascii: "\n") }),
            "(,=:[".utf8.contains(before)
        else { return false }
        let line = source[(position + 1)...].prefix { $0 != UInt8(ascii: "\n") }
        return line.contains(UInt8(ascii: "/"))
    }

    private mutating func regex() {
        keep()
        while position < source.count, source[position] != UInt8(ascii: "\n") {
            if source[position] == UInt8(ascii: "\\") {
                blank(2)
            } else if source[position] == UInt8(ascii: "/") {
                return keep()
            } else {
                blank()
            }
        }
    }
}
