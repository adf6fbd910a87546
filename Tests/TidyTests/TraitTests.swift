import Foundation
import Testing

/// Without `--traits Server` a command of SwiftPM in this repository fetches and builds the device
/// alone, and leaves a `Package.resolved` without the server's packages.
@Suite("Traits")
struct TraitTests {
    @Test("every command that builds this repository enables the server")
    func commands() {
        var commands = 0
        for file in SourceTree.files where Self.hasCommands(file.path) {
            for (index, line) in file.lines.enumerated() where Self.isCommand(line) {
                commands += 1
                #expect(line.contains("--traits Server"), "\(file.path):\(index + 1)")
            }
        }
        // Of the makefile alone there are more.
        #expect(commands > 5)
    }

    private static func hasCommands(_ path: String) -> Bool {
        path.hasSuffix(".sh") || path.hasSuffix(".md") || path.hasSuffix("Dockerfile")
            || ["Makefile", ".ci/run"].contains(path)
    }

    /// Whether a line has a command of SwiftPM with options, and is no comment. `$checkout` holds
    /// another package.
    private static func isCommand(_ line: Substring) -> Bool {
        let options = ["build -", "test -", "run -", "package -", "package resolve"]
        return options.contains { line.contains("swift " + $0) } && !line.hasPrefix("#")
            && !line.contains("--package-path \"$checkout\"")
    }
}
