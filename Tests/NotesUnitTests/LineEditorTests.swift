import Testing

@testable import Notes

struct LineEditorTests {
    @Test(
        "keys edit the line",
        arguments: [
            ("milk\r", "milk"),
            ("milx\u{7F}k\r", "milk"),
            ("ilk\u{1}m\r", "milk"),
            ("mlk\u{1B}[D\u{1B}[Di\r", "milk"),
            ("mxilk\u{1}\u{1B}[C\u{1B}[3~\r", "milk"),
            ("some bread\u{17}milk\r", "some milk"),
            ("bread\u{15}milk\r", "milk"),
            ("xmilk\u{1B}[H\u{4}\u{1B}[F!\r", "milk!"),
            ("milk\r\u{1B}[A\r", "milk"),
            ("Käse 🧀\u{7F}!\r", "Käse !"),
            ("e\u{301}x\u{7F}\r", "é"),
        ])
    func keys(typed: String, line: String) {
        var editor = LineEditor()
        #expect(editor.take(typed.utf8).last == .line(line))
        #expect(editor.text.isEmpty && editor.cursor == 0)
    }

    @Test("a character that comes in pieces is taken when it is whole")
    func pieces() {
        var editor = LineEditor()
        for byte in "ä🧀".utf8 { #expect(editor.take([byte]).isEmpty) }
        #expect(String(editor.text) == "ä🧀")
    }

    @Test("bytes that are no text are left out")
    func garbage() {
        var editor = LineEditor()
        _ = editor.take([0xFF, 0x61, 0xC3, 0x28, 0x07, 0x62])
        #expect(String(editor.text) == "a(b")
    }

    @Test("Ctrl-C gives up the line, and asks to end when there is none; Ctrl-D ends an empty line")
    func control() {
        var editor = LineEditor()
        #expect(editor.take("half\u{3}".utf8) == [.interrupt(wasEmpty: false)])
        #expect(editor.take("\u{3}\u{4}".utf8) == [.interrupt(wasEmpty: true), .end])
    }

    @Test("a line longer than the terminal shows the part around the cursor", arguments: 1...30)
    func window(columns: Int) {
        var editor = LineEditor()
        _ = editor.take("the quick 🦊 jumps over the lazy 🐶".utf8)
        for _ in 0...editor.text.count {
            let (text, cursor) = editor.window(columns: columns)
            #expect(Columns.width(text) < max(columns, 2) && cursor < columns)
            _ = editor.take("\u{1B}[D".utf8)
        }
    }
}
