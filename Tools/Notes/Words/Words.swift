import Foundation

/// How the app words things. Text from other devices is made harmless for a terminal.
enum Words {
    static func note(_ note: Note, _ book: Notebook) -> String {
        "note \(book.number(note.id)) \(quoted(note.title))"
    }

    static func task(_ task: NoteTask, _ book: Notebook) -> String {
        "task \(book.number(task.id)) \(quoted(task.text))"
    }

    static func entry(_ entry: Notebook.Entry, _ book: Notebook) -> String {
        switch entry {
        case .note(let note): Self.note(note, book)
        case .task(let task): Self.task(task, book)
        }
    }

    static func quoted(_ text: String) -> String { "“\(printable(text))”" }

    static func count(_ count: Int, _ thing: String) -> String {
        "\(count) \(thing)" + (count == 1 ? "" : "s")
    }

    static func changes(_ count: Int) -> String { Self.count(count, "change") }

    static func time(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.dateFormat = "HH:mm:ss"
        return formatter.string(from: date)
    }

    /// The text without characters that steer a terminal: another device may write any text.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .lineSeparator, .paragraphSeparator: " "
                    case .format where scalar != "\u{200D}": " "
                    default: scalar
                    }
                }))
    }
}
