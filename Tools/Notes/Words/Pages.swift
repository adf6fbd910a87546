/// What the commands that show something show.
struct Pages {
    let book: Notebook

    var list: [String] {
        guard !book.notes.isEmpty else { return ["no notes yet; `add TITLE` creates one"] }
        return book.sortedNotes.map { note in
            let tasks = book.sortedTasks(of: note.id)
            let done = tasks.count { $0.done }
            let count = tasks.isEmpty ? "" : "  [\(done) of \(tasks.count) done]"
            return "\(padded(note.id))  \(Words.printable(note.title))\(count)"
        }
    }

    func show(_ note: Note) -> [String] {
        var lines = ["\(padded(note.id))  \(Words.printable(note.title))"]
        if !note.body.isEmpty { lines.append("     \(Words.printable(note.body))") }
        return lines + book.sortedTasks(of: note.id).map(line)
    }

    /// What is to do, then what is done.
    var tasks: [String] {
        guard !book.tasks.isEmpty else { return ["no tasks yet; `task NOTE TEXT` adds one"] }
        let all = book.sortedTasks()
        return (all.filter { !$0.done } + all.filter(\.done)).map(line)
    }

    func conflicts(_ conflicts: [FieldConflict]) -> [String] {
        guard !conflicts.isEmpty else { return ["no conflicts"] }
        return conflicts.flatMap(conflict)
    }

    /// A field that two devices changed, with both values.
    func conflict(_ conflict: FieldConflict) -> [String] {
        let number = book.number(conflict.id)
        let name = book.entry(number).map { Words.entry($0, book) } ?? "number \(number)"
        return [
            "\(name): the \(conflict.field) was changed here and on another device",
            "  there (stands): \(Words.quoted(conflict.there))",
            "  here:           \(Words.quoted(conflict.here))",
            "  `here \(number)` restores this device's value, `there \(number)` keeps the other",
        ]
    }

    private func line(_ task: NoteTask) -> String {
        "\(padded(task.id))  [\(task.done ? "x" : " ")] \(Words.printable(task.text))"
    }

    private func padded(_ id: String) -> String {
        let number = "\(book.number(id))"
        return String(repeating: " ", count: max(0, 3 - number.count)) + number
    }
}
