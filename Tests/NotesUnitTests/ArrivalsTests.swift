import Testing

@testable import Notes

struct ArrivalsTests {
    private let note = Note(id: "a", title: "Shopping")
    private let task = NoteTask(id: "b", note_id: "a", text: "milk")

    private func book(_ notes: [Note], _ tasks: [NoteTask] = []) -> Notebook {
        var book = Notebook()
        for note in notes { book.notes[note.id] = note }
        for task in tasks { book.tasks[task.id] = task }
        for (index, id) in (notes.map(\.id) + tasks.map(\.id)).enumerated() {
            book.numbers[id] = index + 1
        }
        return book
    }

    @Test("each row that another device made, changed or removed has a line")
    func lines() {
        let both = book([note], [task])
        #expect(
            Arrivals(before: Notebook(), now: both).lines == [
                "new note 1 “Shopping”", "new task 2 “milk”",
            ])
        var (otherNote, otherTask) = (note, task)
        (otherNote.title, otherNote.body, otherTask.done) = ("Food", "today", true)
        #expect(
            Arrivals(before: both, now: book([otherNote], [otherTask])).lines == [
                "note 1 “Food” was “Shopping”, now says “today”", "task 2 “milk” is done",
            ])
        #expect(Arrivals(before: both, now: both).lines.isEmpty)
        #expect(
            Arrivals(before: both, now: book([note])).lines == ["task 2 “milk” was removed"])
    }

    @Test("tasks that go with their note have no lines of their own")
    func cascade() {
        #expect(
            Arrivals(before: book([note], [task]), now: Notebook()).lines == [
                "note 1 “Shopping” was removed"
            ])
    }

    @Test("many rows at once are counted")
    func many() {
        let notes = (0...Arrivals.listed).map { Note(id: "\($0)", title: "\($0)") }
        #expect(
            Arrivals(before: Notebook(), now: book(notes)).lines == [
                "7 rows have changed elsewhere: 7 notes and 0 tasks are here now"
            ])
        let tasks = (0...Arrivals.listed).map {
            NoteTask(id: "t\($0)", note_id: "a", text: "\($0)")
        }
        #expect(
            Arrivals(before: book([note], tasks), now: book([note])).lines == [
                "7 rows have changed elsewhere: 1 note and 0 tasks are here now"
            ])
    }
}
