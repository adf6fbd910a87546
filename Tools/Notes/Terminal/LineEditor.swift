/// A line being typed: takes the keyboard's bytes, keeps the text and the cursor, and says what was asked.
struct LineEditor {
    /// Lines kept for the arrow keys.
    static let longestHistory = 100
    /// Longest line, in characters; what goes beyond is not taken.
    static let longestLine = 2000

    enum Action: Hashable {
        case line(String)
        /// Ctrl-C: the line was given up; `wasEmpty` tells if there was none.
        case interrupt(wasEmpty: Bool)
        /// Ctrl-D on an empty line.
        case end
    }

    private(set) var text: [Character] = []
    /// Where the next character goes.
    private(set) var cursor = 0
    private var history: [[Character]] = []
    /// The line of the history that is shown; its count stands for the new one.
    private var place = 0
    /// Bytes of a character or a key that is not complete.
    private var pending: [UInt8] = []

    /// - Returns: what was asked, in order.
    mutating func take(_ bytes: some Sequence<UInt8>) -> [Action] {
        bytes.compactMap { take($0) }
    }

    private mutating func take(_ byte: UInt8) -> Action? {
        if pending.first == 0x1B {
            pending.append(byte)
            takeEscape()
            return nil
        }
        if byte >= 0x80 {
            takeUnicode(byte)
            return nil
        }
        pending = []
        switch byte {
        case 0x0D, 0x0A: return submit()
        case 0x03:
            defer { replace([]) }
            return .interrupt(wasEmpty: text.isEmpty)
        case 0x04:
            if text.isEmpty { return .end }
            deleteForward()
        case 0x1B: pending = [byte]
        case 0x01: cursor = 0
        case 0x05: cursor = text.count
        case 0x7F, 0x08: deleteBackward()
        case 0x15: replace([])
        case 0x17: deleteWord()
        case 0x20...0x7E: insert(Character(Unicode.Scalar(byte)))
        default: break
        }
        return nil
    }

    private mutating func submit() -> Action {
        let line = text
        if !line.isEmpty, history.last != line {
            history = history.suffix(Self.longestHistory - 1) + [line]
        }
        replace([])
        place = history.count
        return .line(String(line))
    }

    /// Bytes of UTF-8 are gathered until they make a character.
    private mutating func takeUnicode(_ byte: UInt8) {
        pending.append(byte)
        let length: Int
        switch pending[0] {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF: length = 3
        case 0xF0...0xF4: length = 4
        default: length = 1
        }
        guard pending.count >= length else { return }
        if let typed = String(validating: pending, as: UTF8.self) {
            for character in typed { insert(character) }
        }
        pending = []
    }

    /// Arrow keys and their like: ESC, `[` or `O`, parameters, and a letter or `~`.
    private mutating func takeEscape() {
        guard pending.count > 2 else {
            if pending.count == 2, pending[1] != UInt8(ascii: "["), pending[1] != UInt8(ascii: "O")
            {
                pending = []
            }
            return
        }
        let last = pending[pending.count - 1]
        guard (0x40...0x7E).contains(last) else { return }
        let first = pending[2]
        pending = []
        switch (last, first) {
        case (UInt8(ascii: "A"), _): recall(place - 1)
        case (UInt8(ascii: "B"), _): recall(place + 1)
        case (UInt8(ascii: "C"), _): cursor = min(cursor + 1, text.count)
        case (UInt8(ascii: "D"), _): cursor = max(cursor - 1, 0)
        case (UInt8(ascii: "H"), _): cursor = 0
        case (UInt8(ascii: "F"), _): cursor = text.count
        case (UInt8(ascii: "~"), UInt8(ascii: "3")): deleteForward()
        default: break
        }
    }

    private mutating func insert(_ character: Character) {
        guard text.count < Self.longestLine else { return }
        // A mark that belongs to the character before it joins that one.
        if cursor > 0, (String(text[cursor - 1]) + String(character)).count == 1 {
            text[cursor - 1] = Character(String(text[cursor - 1]) + String(character))
            return
        }
        text.insert(character, at: cursor)
        cursor += 1
    }

    private mutating func deleteBackward() {
        guard cursor > 0 else { return }
        cursor -= 1
        text.remove(at: cursor)
    }

    private mutating func deleteForward() {
        if cursor < text.count { text.remove(at: cursor) }
    }

    private mutating func deleteWord() {
        while cursor > 0, text[cursor - 1] == " " { deleteBackward() }
        while cursor > 0, text[cursor - 1] != " " { deleteBackward() }
    }

    private mutating func recall(_ wanted: Int) {
        guard (0...history.count).contains(wanted) else { return }
        replace(wanted < history.count ? history[wanted] : [])
        place = wanted
    }

    private mutating func replace(_ new: [Character]) {
        text = new
        cursor = new.count
    }
}

extension LineEditor {
    /// The part of the line that fits into this many columns, and the column of the cursor.
    func window(columns: Int) -> (text: String, cursor: Int) {
        var start = cursor
        var used = 0
        while start > 0, used + Columns.width(text[start - 1]) < columns {
            start -= 1
            used += Columns.width(text[start])
        }
        let position = used
        var end = cursor
        while end < text.count, used + Columns.width(text[end]) < columns {
            used += Columns.width(text[end])
            end += 1
        }
        return (String(text[start..<end]), position)
    }
}
