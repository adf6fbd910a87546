/// Why a private cluster could not be made or started.
package enum LocalPostgresError: Error, Sendable, Equatable {
    /// PostgreSQL's server programs are not on this machine.
    case programMissing(String)
    /// A program failed; the output is what it said.
    case commandFailed(program: String, status: Int32, output: String)
    /// A file or directory could not be made.
    case unusable(path: String, reason: String)
}

extension LocalPostgresError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .programMissing(let program):
            """
            \(program) was found neither on PATH nor in /usr/lib/postgresql. Install the \
            PostgreSQL server: "apt-get install postgresql" on Debian and Ubuntu, \
            "dnf install postgresql-server" on Fedora; for tests also "pgbouncer".
            """
        case .commandFailed(let program, let status, let output):
            "\(program) ended with status \(status): \(output)"
        case .unusable(let path, let reason):
            "cannot use \(path): \(reason)"
        }
    }
}
