/// How wide text is on a terminal.
enum Columns {
    /// Fewest columns that text is fitted to.
    static let fewest = 20

    static func width(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        switch first.value {
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            return 2
        default:
            return first.properties.generalCategory == .nonspacingMark ? 0 : 1
        }
    }

    static func width(_ text: some Sequence<Character>) -> Int {
        text.reduce(0) { $0 + width($1) }
    }

    /// The lines of a text that is at most `columns` wide, broken at spaces where there are some. Lines
    /// after the first stand `indent` columns in.
    static func wrap(_ text: String, to columns: Int, indent: Int = 0) -> [String] {
        let columns = max(columns, fewest)
        var lines: [String] = []
        var line = ""
        var used = 0
        let margin = String(repeating: " ", count: min(indent, columns / 2))
        func end() {
            lines.append(line)
            line = margin
            used = margin.count
        }
        for piece in pieces(of: text) {
            let wide = width(piece)
            if used + wide > columns, used > margin.count { end() }
            if piece.allSatisfy({ $0 == " " }), line == margin, !lines.isEmpty { continue }
            for character in piece {
                if used + width(character) > columns { end() }
                line.append(character)
                used += width(character)
            }
        }
        return lines + [line]
    }

    /// Words and the spaces between them.
    private static func pieces(of text: String) -> [Substring] {
        var pieces: [Substring] = []
        var start = text.startIndex
        for index in text.indices where index > text.startIndex {
            if (text[index] == " ") != (text[text.index(before: index)] == " ") {
                pieces.append(text[start..<index])
                start = index
            }
        }
        return pieces + (start < text.endIndex ? [text[start...]] : [])
    }
}
