import Foundation
import ServiceKit

/// The commands of `oversync-dev`. If it is installed next to `oversync`, this program runs them
/// without linking them: `oversync dev` is `oversync-dev dev`.
enum DevelopmentCommands {
    static let program = "oversync-dev"
    static let names: Set = [
        "dev", "demo", "notes", "bench", "gap", "load", "restore-drill", "siege", "soak",
    ]

    /// Becomes `oversync-dev` if the arguments begin with one of its commands.
    ///
    /// Returns otherwise, and if there is no such program: then the arguments are wrong.
    ///
    /// - Parameter arguments: without the program's own name.
    static func run(_ arguments: [String]) {
        guard let name = arguments.first, names.contains(name) else { return }
        let path = URL(filePath: BuildInfo.ownExecutable).deletingLastPathComponent()
            .appending(path: program).path
        guard FileManager.default.isExecutableFile(atPath: path) else { return }
        var texts = ([path] + arguments).map { strdup($0) }
        texts.append(nil)
        execv(path, texts)
    }
}
