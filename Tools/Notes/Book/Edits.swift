import GRDB

/// What the commands do to the rows: ordinary writes of an app, which know nothing of sync.
struct Edits {
    let db: Database
    let book: Notebook

    /// Performs a command that changes rows.
    ///
    /// - Returns: what was done; nil if the command changes no rows.
    func perform(_ command: Command) throws -> String? {
        switch command {
        case .add(let title):
            let note = Note(id: newID(), title: title)
            try note.insert(db)
            return "added \(Words.note(note, try Notebook.read(db)))"
        case .task(let number, let text):
            let task = NoteTask(id: newID(), note_id: try note(number).id, text: text)
            try task.insert(db)
            return "added \(Words.task(task, try Notebook.read(db)))"
        case .edit(let number, let text): return try edit(number, text)
        case .rename(let number, let title): return try rename(number, title)
        case .done(let number): return try tick(number)
        case .remove(let number): return try remove(number)
        case .here(let number): return try putBack(number)
        case .there(let number):
            try close(number)
            return "the conflict is closed"
        default: return nil
        }
    }

    private func edit(_ number: Int, _ text: String) throws -> String {
        switch try entry(number) {
        case .note(var note):
            note.body = text
            try note.update(db, columns: ["body"])
            return "\(Words.note(note, book)) says \(Words.quoted(text))"
        case .task(var task):
            task.text = text
            try task.update(db, columns: ["text"])
            return "task \(number) is \(Words.quoted(text))"
        }
    }

    private func rename(_ number: Int, _ title: String) throws -> String {
        var note = try note(number)
        note.title = title
        try note.update(db, columns: ["title"])
        return "note \(number) is \(Words.quoted(title))"
    }

    private func tick(_ number: Int) throws -> String {
        guard case .task(var task) = try entry(number) else {
            throw Command.Misunderstood(advice: "\(number) is a note; only tasks can be done")
        }
        task.done.toggle()
        try task.update(db, columns: ["done"])
        return "\(Words.task(task, book)) is \(task.done ? "done" : "open again")"
    }

    private func remove(_ number: Int) throws -> String {
        let entry = try entry(number)
        switch entry {
        case .note(let note): try note.delete(db)
        case .task(let task): try task.delete(db)
        }
        return "removed \(Words.entry(entry, book))"
    }

    /// Writes one's own side of a conflict, as an edit like any other.
    private func putBack(_ number: Int) throws -> String {
        let table = try Self.table(of: entry(number))
        for conflict in try conflicts(number) {
            try db.execute(
                sql:
                    "UPDATE \(table) SET \(conflict.field.quotedDatabaseIdentifier) = ? WHERE id = ?",
                arguments: [conflict.here, conflict.id])
        }
        try close(number)
        return "the value of this device is restored"
    }

    private func close(_ number: Int) throws {
        for conflict in try conflicts(number) { try conflict.delete(db) }
    }

    private func conflicts(_ number: Int) throws -> [FieldConflict] {
        let found = try FieldConflict.filter(Column("id") == book.id(of: number)).fetchAll(db)
        guard !found.isEmpty else {
            throw Command.Misunderstood(advice: "there is no conflict about \(number)")
        }
        return found
    }

    private static func table(of entry: Notebook.Entry) -> String {
        switch entry {
        case .note: Note.databaseTableName
        case .task: NoteTask.databaseTableName
        }
    }

    private func note(_ number: Int) throws -> Note {
        guard case .note(let note) = book.entry(number) else {
            throw Command.Misunderstood(advice: "there is no note \(number); `list` shows them")
        }
        return note
    }

    private func entry(_ number: Int) throws -> Notebook.Entry {
        guard let entry = book.entry(number) else {
            throw Command.Misunderstood(
                advice: "there is no number \(number); `list` and `show` show the numbers")
        }
        return entry
    }
}
