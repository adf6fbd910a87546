import Glibc
import Postgres

/// What the tests do to a server's processes.
enum ServerSignal {
    case stop
    case goOn
    case terminate

    var number: Int32 {
        switch self {
        case .stop: SIGSTOP
        case .goOn: SIGCONT
        case .terminate: SIGTERM
        }
    }
}

/// Returns whether the signal could be sent.
func sendSignal(_ process: Int32, _ signal: ServerSignal) -> Bool {
    kill(process, signal.number) == 0
}

/// Returns when a command runs on the connection.
func untilBusy(_ connection: PostgresConnection) async {
    while !connection.isBusy { await Task.yield() }
}
