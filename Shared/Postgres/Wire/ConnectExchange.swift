import CLibPQ

/// Makes the connection: address, TLS, authentication.
// @unchecked: its channel calls it under a lock, see Exchange.
final class ConnectExchange: Exchange, @unchecked Sendable {
    // libpq asks that the socket be writable before the first poll.
    private var hasStarted = false

    var interruptsByClosing: Bool { true }

    func begin(_ connection: OpaquePointer) -> Begun {
        if PQstatus(connection) == CONNECTION_BAD { return .broken(failure(connection)) }
        return .sent
    }

    func advance(_ connection: OpaquePointer) -> Progress {
        if !hasStarted {
            hasStarted = true
            return .waiting(.write)
        }
        switch PQconnectPoll(connection) {
        case PGRES_POLLING_READING: return .waiting(.read)
        case PGRES_POLLING_WRITING: return .waiting(.write)
        case PGRES_POLLING_OK:
            if PQsetnonblocking(connection, 1) != 0 { return .broken(failure(connection)) }
            return .finished(nil)
        default: return .broken(failure(connection))
        }
    }

    private func failure(_ connection: OpaquePointer) -> PostgresError {
        let lines = String(cString: PQerrorMessage(connection)).split(separator: "\n")
        return PostgresError(.connectFailed(lines.joined(separator: "; ")))
    }
}
