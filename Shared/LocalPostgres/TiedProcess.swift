import Foundation

/// A program that runs until it is stopped, or until this process ends, however that ends.
///
/// A shell waits for the end of a stream whose other end only this process holds, and then ends the program.
package struct TiedProcess: Sendable {
    private let shell: pid_t
    private let lifeline: Int32

    /// Starts it. Unless it is a path, it is looked for on PATH and where PostgreSQL's own programs are.
    package init(program: String, _ arguments: [String]) throws {
        let path = program.hasPrefix("/") ? program : try Shell.find(program)
        let ends = try Shell.makePipe()
        defer { close(ends.read) }
        let script = #"cd /; "$@" </dev/null >/dev/null 2>&1 & read -r _; kill $!; wait $!"#
        lifeline = ends.write
        shell = try Shell.spawn(
            [try Shell.find("sh"), "-c", script, "tied", path] + arguments, input: ends.read)
    }

    /// Ends it and returns when it has ended. Only once.
    package func stop() async {
        close(lifeline)
        await Shell.end(of: shell)
    }
}
