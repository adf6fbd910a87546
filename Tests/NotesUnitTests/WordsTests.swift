import Testing

@testable import Notes
@testable import OverSQLite

struct WordsTests {
    @Test(
        "lines are understood",
        arguments: [
            ("add Milk and bread ", Command.add(title: "Milk and bread")),
            ("  task 12  two litres", .task(note: 12, text: "two litres")),
            ("edit 3 x", .edit(3, text: "x")), ("rename 1 A b", .rename(1, title: "A b")),
            ("DONE 4", .done(4)), ("rm 4", .remove(4)), ("ls", .list), ("here 2", .here(2)),
            ("?", .help), ("exit", .quit),
        ])
    func commands(line: String, command: Command) throws {
        #expect(try Command.parse(line) == command)
    }

    @Test(
        "a line that is not understood is answered with how to type it",
        arguments: [
            ("add", "type it as: add TITLE"), ("task milk", "type it as: task NOTE TEXT"),
            ("done 1 2", "type it as: done TASK"),
            ("dance", "no command “dance”; `help` lists the commands"),
        ])
    func misunderstood(line: String, advice: String) {
        #expect(throws: Command.Misunderstood(advice: advice)) { try Command.parse(line) }
    }

    @Test("an empty line is no command", arguments: ["", "   "])
    func empty(line: String) throws { #expect(try Command.parse(line) == nil) }

    @Test("every command that help lists is understood")
    func help() throws {
        for (usage, _) in Command.usages {
            let line = usage.replacing(/NUMBER|NOTE|TASK/, with: "1")
            #expect(try Command.parse(line) != nil)
        }
    }

    @Test("one is one")
    func counts() {
        var status = SyncStatus()
        status.heldCount = 1
        #expect(
            Standing(isOffline: false, status: status).full
                .contains("1 row from the server waits for other rows"))
        status.heldCount = 2
        var progress = SyncStatus.Progress()
        progress.appliedRows = 1
        status.progress = progress
        let full = Standing(isOffline: false, status: status).full
        #expect(full.contains("2 rows from the server wait for other rows"))
        #expect(full[0].hasPrefix("reading: 1 row, "))
    }

    @Test("text from another device cannot steer the terminal")
    func printable() {
        #expect(Words.printable("a\u{1B}[2Jb\u{7}\nc\u{202E}d\u{9B}e") == "a [2Jb  c d e")
        #expect(Words.printable("👩‍👩‍👧 é 漢") == "👩‍👩‍👧 é 漢")
    }

    @Test(
        "text is broken at spaces, and within a word where it must be",
        arguments: [
            ("short", ["short"]), ("", [""]),
            ("one two three four five six", ["one two three four", "  five six"]),
            ("one-word-that-is-longer-than-a-line", ["one-word-that-is-lon", "  ger-than-a-line"]),
            ("漢字漢字漢字漢字漢字漢字", ["漢字漢字漢字漢字漢字", "  漢字"]),
        ])
    func wrapping(text: String, lines: [String]) {
        let wrapped = Columns.wrap(text, to: 20, indent: 2)
        #expect(wrapped.map { $0.last == " " ? String($0.dropLast()) : $0 } == lines)
        #expect(wrapped.allSatisfy { Columns.width($0) <= 20 })
    }
}
