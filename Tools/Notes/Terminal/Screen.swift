/// What is shown: lines above, and below them the prompt with the line being typed.
struct Screen {
    /// How a line is meant.
    enum Tone: Sendable {
        case plain, quiet, news, warning

        /// The escape sequence's number.
        fileprivate var colour: Int {
            switch self {
            case .plain: 0
            case .quiet: 2
            case .news: 36
            case .warning: 33
            }
        }
    }

    let terminal: Terminal
    /// False once nobody reads.
    private(set) var isOpen = true
    /// The prompt and the line as they stand there now; nil if they do not.
    private var drawn: String?

    init(terminal: Terminal) { self.terminal = terminal }

    /// Shows lines, each broken to fit.
    mutating func say(_ lines: [String], _ tone: Tone = .plain) {
        hidePrompt()
        var text = ""
        for line in lines {
            let indent = line.prefix { $0 == " " }.count + 2
            let fitted =
                terminal.isInteractive
                ? Columns.wrap(line, to: terminal.columns, indent: indent) : [line]
            for line in fitted { text += coloured(line, tone) + "\n" }
        }
        write(text)
    }

    mutating func say(_ line: String, _ tone: Tone = .plain) { say([line], tone) }

    /// Shows the prompt and what has been typed, in one line however long that is.
    mutating func show(prompt: String, _ editor: LineEditor) {
        guard terminal.isInteractive else { return }
        let columns = terminal.columns
        // At least half of the line belongs to what is typed.
        let shown = Columns.width(prompt) > columns / 2 ? "> " : prompt
        let width = Columns.width(shown)
        let (text, cursor) = editor.window(columns: max(1, columns - width))
        let place = width + cursor
        let drawing =
            "\r\u{1B}[K" + coloured(shown, .quiet) + text + "\r"
            + (place > 0 ? "\u{1B}[\(place)C" : "")
        if drawing != drawn { write(drawing) }
        drawn = drawing
    }

    /// Leaves the line that was typed where it is: the reply comes below.
    mutating func leave(_ prompt: String, _ line: String) {
        guard terminal.isInteractive else { return }
        var typed = LineEditor()
        _ = typed.take(line.utf8)
        show(prompt: prompt, typed)
        write("\n")
        drawn = nil
    }

    private mutating func hidePrompt() {
        if drawn != nil { write("\r\u{1B}[K") }
        drawn = nil
    }

    private func coloured(_ text: String, _ tone: Tone) -> String {
        guard terminal.hasColours, tone.colour > 0 else { return text }
        return "\u{1B}[\(tone.colour)m\(text)\u{1B}[0m"
    }

    private mutating func write(_ text: String) {
        if isOpen { isOpen = terminal.write(text) }
    }
}
