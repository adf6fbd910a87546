import GRDB
import OverSQLite

/// What the app does when a line is typed.
extension NotesApp {
    func obey(_ line: String) async -> Next {
        do {
            guard let command = try Command.parse(line) else { return .goOn }
            return try await perform(command)
        } catch let misunderstood as Command.Misunderstood {
            screen.say(misunderstood.advice, .warning)
        } catch {
            screen.say("! \(Words.printable("\(error)"))", .warning)
        }
        return .goOn
    }

    private func perform(_ command: Command) async throws -> Next {
        if let done = try await change(command) {
            screen.say(done)
            return .goOn
        }
        let pages = Pages(book: seen)
        switch command {
        case .list: screen.say(pages.list)
        case .tasks: screen.say(pages.tasks)
        case .show(let number): try show(number)
        case .status:
            try await recount()
            screen.say(standing.full + ["kept in \(options.path)"])
        case .offline: setOffline(true)
        case .online: setOffline(false)
        case .sync: return .sync
        case .conflicts: screen.say(pages.conflicts(try await conflicts()))
        case .rejected: try await showRejected()
        case .retry(let number): try await retry(number)
        case .discard(let number): try await discard(number)
        case .help: screen.say(Self.help)
        case .quit: return .quit
        default: break
        }
        return .goOn
    }

    /// Performs a command that changes rows, after showing what other devices changed just before.
    private func change(_ command: Command) async throws -> String? {
        let (before, now, done) = try await database.write { db in
            let before = try Notebook.read(db)
            let done = try Edits(db: db, book: before).perform(command)
            return (before, try Notebook.read(db), done)
        }
        tellArrivals(before)
        seen = now
        return done
    }

    private func show(_ number: Int) throws {
        switch seen.entry(number) {
        case .note(let note): screen.say(Pages(book: seen).show(note))
        case .task(let task):
            guard let note = seen.notes[task.note_id] else { return }
            screen.say(Pages(book: seen).show(note))
        case nil:
            throw Command.Misunderstood(advice: "there is no note \(number); `list` shows them")
        }
    }

    private func setOffline(_ isOffline: Bool) {
        guard isOffline != standing.isOffline else {
            return screen.say(isOffline ? "you are offline" : "you are online")
        }
        standing.isOffline = isOffline
        if isOffline { engine.pause() } else { engine.resume() }
        screen.say(
            isOffline
                ? "offline: what you change is kept and goes out when you are online again"
                : "online")
    }

    private func conflicts() async throws -> [FieldConflict] {
        try await database.read {
            try FieldConflict.order(Column("id"), Column("field")).fetchAll($0)
        }
    }

    private static var help: [String] {
        let width = Command.usages.map(\.usage.count).max() ?? 0
        return Command.usages.map { usage, what in
            usage + String(repeating: " ", count: width + 2 - usage.count) + what
        }
    }
}
