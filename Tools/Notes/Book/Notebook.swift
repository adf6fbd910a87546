import GRDB

/// Everything in the notebook at one moment.
struct Notebook: Hashable, Sendable {
    /// A row that has a number.
    enum Entry: Hashable, Sendable {
        case note(Note)
        case task(NoteTask)
    }

    var notes: [String: Note] = [:]
    var tasks: [String: NoteTask] = [:]
    /// A row's number on this device, by its id. Rows that are gone keep theirs.
    var numbers: [String: Int] = [:]

    /// Reads everything, and numbers the rows that are new.
    static func read(_ db: Database) throws -> Notebook {
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO numbers (id) SELECT id FROM notes ORDER BY rowid;
                INSERT OR IGNORE INTO numbers (id) SELECT id FROM tasks ORDER BY rowid;
                """)
        var book = Notebook()
        for note in try Note.fetchAll(db) { book.notes[note.id] = note }
        for task in try NoteTask.fetchAll(db) { book.tasks[task.id] = task }
        for row in try Row.fetchAll(db, sql: "SELECT id, number FROM numbers") {
            book.numbers[row["id"]] = row["number"]
        }
        return book
    }

    func id(of number: Int) -> String? { numbers.first { $0.value == number }?.key }

    func entry(_ number: Int) -> Entry? {
        guard let id = id(of: number) else { return nil }
        return notes[id].map(Entry.note) ?? tasks[id].map(Entry.task)
    }

    /// The notes in the order of their numbers.
    var sortedNotes: [Note] { notes.values.sorted { number($0.id) < number($1.id) } }

    /// The tasks of a note, or all, in the order of their numbers.
    func sortedTasks(of note: String? = nil) -> [NoteTask] {
        tasks.values.filter { note == nil || $0.note_id == note }
            .sorted { number($0.id) < number($1.id) }
    }

    func number(_ id: String) -> Int { numbers[id] ?? 0 }
}
