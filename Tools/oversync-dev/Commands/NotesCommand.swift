import ArgumentParser
import Foundation
import Notes
import OperatorKit

/// `oversync-dev notes`: the example app.
struct NotesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notes",
        abstract: "Notes and tasks that several people share: an example of an app on OverSQLite.",
        discussion: """
            Each person has their own SQLite file and can work without the server, which is the stack of \
            `oversync-dev dev` in the folder. Everyone who opens a notebook shares it. Without a terminal it \
            reads commands from standard input.
            """)

    @Option(name: .customLong("as"), help: "Who you are: letters, digits, - and _.")
    var person: String
    @Option(help: "The notebook, shared by all who open it: letters, digits, - and _.")
    var notebook = "home"
    @Option(help: "Your SQLite file (default: one under the stack's folder).")
    var file: String?
    @Flag(help: "Start offline.")
    var offline = false
    @OptionGroup var stack: StackOptions

    /// Longest name of a person or notebook, in characters.
    private static let longestName = 40

    func validate() throws {
        for (option, name) in [("--as", person), ("--notebook", notebook)] {
            let isGood = name.utf8.allSatisfy {
                $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
                    || Character(Unicode.Scalar($0)).isLetter
                    || Character(Unicode.Scalar($0)).isNumber
            }
            guard isGood, (1...Self.longestName).contains(name.utf8.count),
                name.utf8.allSatisfy({ $0 < 0x80 })
            else {
                throw ValidationError(
                    "\(option) takes 1 to \(Self.longestName) letters, digits, - and _")
            }
        }
    }

    func run() async throws {
        var options = NotesOptions(person: person, stack: stack.directory)
        options.notebook = notebook
        options.file = file
        options.isOffline = offline
        try await NotesApp(options).run()
    }
}
