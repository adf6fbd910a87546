/// What the user can type.
enum Command: Hashable, Sendable {
    case add(title: String)
    case task(note: Int, text: String)
    case edit(Int, text: String)
    case rename(Int, title: String)
    case done(Int)
    case remove(Int)
    case list, tasks
    case show(Int)
    case offline, online, sync, status
    case conflicts, rejected
    case here(Int), there(Int)
    case retry(Int), discard(Int)
    case help, quit

    /// A line that is no command; what to type instead.
    struct Misunderstood: Error, Hashable {
        let advice: String
    }

    /// The commands as `help` lists them: how to type each, and what it does.
    static let usages: [(usage: String, what: String)] = [
        ("add TITLE", "creates a note"),
        ("task NOTE TEXT", "adds a task to a note"),
        ("edit NUMBER TEXT", "replaces a note's body, or a task's text"),
        ("rename NOTE TITLE", "changes a note's title"),
        ("done TASK", "marks a task as done, or as open again"),
        ("rm NUMBER", "removes a task, or a note with its tasks"),
        ("list", "shows the notes"),
        ("show NOTE", "shows a note with its tasks"),
        ("tasks", "shows the tasks, open ones first"),
        ("offline", "stops syncing; you can go on working"),
        ("online", "starts syncing again"),
        ("sync", "syncs now"),
        ("status", "shows the state of sync"),
        ("conflicts", "shows fields that you changed on two devices at once"),
        ("here NUMBER", "restores the value of this device in a conflict"),
        ("there NUMBER", "keeps the value of the other device in a conflict"),
        ("rejected", "shows changes that the server rejected"),
        ("retry NUMBER", "sends a rejected change again"),
        ("discard NUMBER", "undoes a rejected change"),
        ("help", "shows this"),
        ("quit", "quits; everything is kept"),
    ]

    /// - Returns: nil for an empty line.
    static func parse(_ line: String) throws(Misunderstood) -> Command? {
        let trimmed = line.drop { $0 == " " }
        guard !trimmed.isEmpty else { return nil }
        let (word, rest) = split(trimmed)
        switch word.lowercased() {
        case "add": return .add(title: try text(rest, "add"))
        case "task":
            let (note, text) = try numberAndText(rest, "task")
            return .task(note: note, text: text)
        case "edit":
            let (number, text) = try numberAndText(rest, "edit")
            return .edit(number, text: text)
        case "rename":
            let (note, title) = try numberAndText(rest, "rename")
            return .rename(note, title: title)
        case "done": return .done(try number(rest, "done"))
        case "rm": return .remove(try number(rest, "rm"))
        case "show": return .show(try number(rest, "show"))
        case "here": return .here(try number(rest, "here"))
        case "there": return .there(try number(rest, "there"))
        case "retry": return .retry(try number(rest, "retry"))
        case "discard": return .discard(try number(rest, "discard"))
        default: return try bare(word.lowercased())
        }
    }

    private static func bare(_ word: String) throws(Misunderstood) -> Command {
        switch word {
        case "list", "ls": return .list
        case "tasks": return .tasks
        case "offline": return .offline
        case "online": return .online
        case "sync": return .sync
        case "status": return .status
        case "conflicts": return .conflicts
        case "rejected": return .rejected
        case "help", "?": return .help
        case "quit", "exit": return .quit
        default:
            throw Misunderstood(
                advice: "no command \(Words.quoted(word)); `help` lists the commands")
        }
    }

    private static func split(_ text: Substring) -> (Substring, Substring) {
        let word = text.prefix { $0 != " " }
        return (word, text.dropFirst(word.count).drop { $0 == " " })
    }

    private static func text(_ rest: Substring, _ word: String) throws(Misunderstood) -> String {
        guard let end = rest.lastIndex(where: { $0 != " " }) else { throw misuse(of: word) }
        return String(rest[...end])
    }

    private static func number(_ rest: Substring, _ word: String) throws(Misunderstood) -> Int {
        let (first, more) = split(rest)
        guard let number = Int(first), more.isEmpty else { throw misuse(of: word) }
        return number
    }

    private static func numberAndText(
        _ rest: Substring, _ word: String
    ) throws(Misunderstood) -> (Int, String) {
        let (first, more) = split(rest)
        guard let number = Int(first) else { throw misuse(of: word) }
        return (number, try text(more, word))
    }

    private static func misuse(of word: String) -> Misunderstood {
        let usage = usages.first { $0.usage.hasPrefix(word + " ") }?.usage ?? word
        return Misunderstood(advice: "type it as: \(usage)")
    }
}
