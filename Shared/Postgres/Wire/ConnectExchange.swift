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

    /// What libpq says of the failure. Its connection is set to be verbose (`Channel.open`), so that the server's
    /// code stands in the text: `FATAL:  28P01: password authentication failed`, the first word in any language.
    private func failure(_ connection: OpaquePointer) -> PostgresError {
        Self.failure(String(cString: PQerrorMessage(connection)))
    }

    static func failure(_ text: String) -> PostgresError {
        var state: SQLState?
        var lines: [String] = []
        // Where in its source the server noticed is of no use here.
        for line in text.split(separator: "\n") where !line.hasPrefix("LOCATION:") {
            guard let match = line.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) else {
                lines.append(String(line))
                continue
            }
            // Of several hosts' answers the last one counts.
            state = SQLState(rawValue: String(match.1))
            lines.append(
                line[..<match.range.lowerBound] + ": " + line[match.range.upperBound...])
        }
        return PostgresError(.connectFailed(lines.joined(separator: "; "), state))
    }
}
