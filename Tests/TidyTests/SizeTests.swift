import Testing

/// Nothing grows for ever.
@Suite("Sizes")
struct SizeTests {
    /// Lines of a file.
    private static let longestFile = 400
    /// Lines of a function, its signature and braces included.
    private static let longestFunction = 70
    /// Columns of a line, comments included.
    private static let longestLine = 100

    @Test func `no Swift file is longer than 400 lines`() throws {
        let long = SourceTree.swift.filter { $0.lines.count > Self.longestFile + 1 }
        try Ratchet(name: "long-files", advice: "Split it.").check(
            Dictionary(uniqueKeysWithValues: long.map { ($0.path, ["\($0.lines.count) lines"]) }))
    }

    @Test func `no function is longer than 70 lines`() throws {
        var found: [String: [String]] = [:]
        for file in SourceTree.swift {
            for function in FunctionScan.functions(in: file.code)
            where function.lines > Self.longestFunction {
                found[file.path, default: []].append(
                    "\(function.start): \(function.lines) lines")
            }
        }
        try Ratchet(name: "long-functions", advice: "Split it.").check(found)
    }

    @Test func `no line of Swift is longer than 100 columns`() throws {
        var found: [String: [String]] = [:]
        for file in SourceTree.swift {
            for (index, line) in file.lines.enumerated() where line.count > Self.longestLine {
                found[file.path, default: []].append("\(index + 1): \(line.count) columns")
            }
        }
        try Ratchet(name: "long-lines", advice: "Break the line.").check(found)
    }
}

/// Finds functions and initialisers with their bodies.
enum FunctionScan {
    struct Function {
        /// Line of the keyword, from 1.
        let start: Int
        let lines: Int
    }

    private static let keywords: Set = ["func", "init", "deinit", "subscript"]
    /// What can stand between a function without a body and the next brace.
    private static let others: Set = [
        "func", "init", "deinit", "subscript", "var", "let", "case", "static", "struct", "enum",
    ]

    /// - Parameter code: without comments and the text of strings.
    static func functions(in code: String) -> [Function] {
        let bytes = Array(code.utf8)
        var functions: [Function] = []
        var line = 1
        var position = 0
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "\n") { line += 1 }
            guard let word = word(in: bytes, at: position) else {
                position += 1
                continue
            }
            let isMember = position > 0 && bytes[position - 1] == UInt8(ascii: ".")
            position += word.utf8.count
            if keywords.contains(word), !isMember, let end = body(in: bytes, from: position) {
                let count = bytes[position..<end].count { $0 == UInt8(ascii: "\n") } + 1
                functions.append(Function(start: line, lines: count))
            }
        }
        return functions
    }

    /// The end of the braces that follow a signature; nil if there are none.
    private static func body(in bytes: [UInt8], from start: Int) -> Int? {
        var parentheses = 0
        var position = start
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "("), UInt8(ascii: "["): parentheses += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"):
                parentheses -= 1
                if parentheses < 0 { return nil }
            case UInt8(ascii: "}") where parentheses == 0: return nil
            case UInt8(ascii: "{") where parentheses == 0: return end(in: bytes, from: position)
            default:
                if parentheses == 0, let word = word(in: bytes, at: position) {
                    if others.contains(word) { return nil }
                    position += word.utf8.count - 1
                }
            }
            position += 1
        }
        return nil
    }

    private static func end(in bytes: [UInt8], from start: Int) -> Int? {
        var depth = 0
        for position in start..<bytes.count {
            if bytes[position] == UInt8(ascii: "{") { depth += 1 }
            if bytes[position] == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0 { return position }
        }
        return nil
    }

    /// The word that begins here; nil inside of one, and where none is.
    private static func word(in bytes: [UInt8], at position: Int) -> String? {
        func isLetter(_ byte: UInt8) -> Bool {
            byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
                || byte == UInt8(ascii: "_") || byte &- UInt8(ascii: "0") < 10
        }
        guard isLetter(bytes[position]), position == 0 || !isLetter(bytes[position - 1]) else {
            return nil
        }
        return String(decoding: bytes[position...].prefix(while: isLetter), as: UTF8.self)
    }
}
