import ArgumentParser
import Foundation
import Notes
import OperatorKit

/// `oversync-dev notes`: the example app.
struct NotesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notes",
        abstract:
            "Notes and tasks of one user on several devices: an example of an app on OverSQLite.",
        discussion: """
            Each device has its own SQLite file and works without the server too. The server is the stack of \
            `oversync-dev dev` in the folder. Start it once for each device. Without a terminal it reads \
            commands from standard input.
            """)

    @Option(help: "This device: letters, digits, - and _.")
    var device: String
    @Option(help: "The user whose notes they are: letters, digits, - and _.")
    var user = "ada"
    @Option(help: "The device's SQLite file (default: one under the stack's folder).")
    var file: String?
    @Flag(help: "Start offline.")
    var offline = false
    @OptionGroup var stack: StackOptions

    /// Longest name of a device or user, in characters.
    private static let longestName = 40

    func validate() throws {
        for (option, name) in [("--device", device), ("--user", user)] {
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
        var options = NotesOptions(device: device, stack: stack.directory)
        options.user = user
        options.file = file
        options.isOffline = offline
        try await NotesApp(options).run()
    }
}
