/// What other devices changed: the difference from what the user saw last.
struct Arrivals {
    /// More rows than this at once are counted, not listed.
    static let listed = 6

    let before: Notebook
    let now: Notebook

    /// One line for each row, or one for all if they are many.
    var lines: [String] {
        let lines = self.notes + self.tasks
        guard lines.count > Self.listed else { return lines }
        let notes = Words.count(now.notes.count, "note")
        let tasks = Words.count(now.tasks.count, "task")
        return ["\(lines.count) rows have changed elsewhere: \(notes) and \(tasks) are here now"]
    }

    private var notes: [String] {
        let new = now.sortedNotes.compactMap { note -> String? in
            let name = Words.note(note, now)
            guard let old = before.notes[note.id] else { return "new \(name)" }
            if old == note { return nil }
            var changes: [String] = []
            if old.title != note.title { changes.append("was \(Words.quoted(old.title))") }
            if old.body != note.body { changes.append("now says \(Words.quoted(note.body))") }
            return "\(name) \(changes.joined(separator: ", "))"
        }
        let gone = before.sortedNotes.filter { now.notes[$0.id] == nil }
        return new + gone.map { "\(Words.note($0, before)) was removed" }
    }

    private var tasks: [String] {
        let new = now.sortedTasks().compactMap { task -> String? in
            let name = Words.task(task, now)
            guard let old = before.tasks[task.id] else {
                return "new \(name)"
            }
            if old == task { return nil }
            var changes: [String] = []
            if old.text != task.text { changes.append("was \(Words.quoted(old.text))") }
            if old.done != task.done { changes.append(task.done ? "is done" : "is open again") }
            return "\(name) \(changes.joined(separator: ", "))"
        }
        // The tasks of a note that went are not worth a line each.
        let gone = before.sortedTasks().filter {
            now.tasks[$0.id] == nil && now.notes[$0.note_id] != nil
        }
        return new + gone.map { "\(Words.task($0, before)) was removed" }
    }
}
