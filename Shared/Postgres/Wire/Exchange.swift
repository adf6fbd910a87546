/// One conversation with the server: what to send, and what to make of the answers.
///
/// A ``Channel`` owns the connection and calls these functions under its lock, never two at once,
/// and only libpq calls that do not block are allowed in them.
protocol Exchange: AnyObject, Sendable {
    /// True when the only way to interrupt is to close the connection.
    var interruptsByClosing: Bool { get }

    /// Queues the messages. Called again, it continues after a pause.
    func begin(_ connection: OpaquePointer) -> Begun

    /// Takes the answers that have arrived.
    func advance(_ connection: OpaquePointer) -> Progress

    /// It ends a transaction and keeps what that has written.
    var commits: Bool { get }

    /// The caller has given up: the rest of the answer is to be read and dropped.
    func discardRest()
}

extension Exchange {
    var interruptsByClosing: Bool { false }
    var commits: Bool { false }
    func discardRest() {}
}

/// The outcome of ``Exchange/begin(_:)``.
enum Begun {
    case sent
    /// Nothing was sent and the connection is as it was.
    case refused(PostgresError)
    /// The connection is in an unknown state and must be closed.
    case broken(PostgresError)
}

/// The outcome of ``Exchange/advance(_:)``.
enum Progress {
    /// More must arrive, or go out. Without an interest the channel chooses it.
    case waiting(Interest?)
    /// Enough for now: nothing is read from the socket until the exchange is begun again.
    case paused
    /// The connection is ready for the next exchange; the error is the server's.
    case finished(PostgresError?)
    /// The connection is in an unknown state and must be closed.
    case broken(PostgresError)
}

/// What a socket is watched for.
enum Interest {
    case read
    case write
    case readWrite
}
