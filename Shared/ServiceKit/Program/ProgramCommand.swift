/// What a service's program is asked to do. Its settings are environment variables, so four words are all it takes.
enum ProgramCommand: Hashable, Sendable {
    case serve
    case help
    case version
    /// Checks the configuration.
    case check
    /// Asks the program that runs with the same configuration whether it is ready.
    case health
    /// Something else; the text says what.
    case misuse(String)

    /// - Parameter arguments: without the program's name.
    init(_ arguments: [String]) {
        guard let first = arguments.first else {
            self = .serve
            return
        }
        guard arguments.count == 1 else {
            self = .misuse("takes one option at most")
            return
        }
        switch first {
        case "--help", "-h": self = .help
        case "--version": self = .version
        case "--check": self = .check
        case "--health": self = .health
        default: self = .misuse("does not know the option \(first)")
        }
    }

    static let usage = """
          --check    check every setting and file, list all problems, start nothing: exit code 0 or 78
          --health   ask the service that runs with these settings whether it is ready: exit code 0 or 1
          --version  print the version, the commit, and what it is compatible with
          --help     print this text
        """
}
