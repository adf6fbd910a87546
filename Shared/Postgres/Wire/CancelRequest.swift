import CLibPQ
import Dispatch

/// A request to stop what a connection is doing, sent over a connection of its own.
///
/// In libpq 15 this request is neither encrypted nor authenticated beyond a secret key.
// @unchecked: libpq documents a PGcancel as unchanging and usable from any thread.
final class CancelRequest: @unchecked Sendable {
    /// libpq's limit for the text of an error.
    private static let errorCapacity = 256

    private let pointer: OpaquePointer

    /// Returns nil when the connection has none, which is so while it is being made.
    init?(_ connection: OpaquePointer) {
        guard let pointer = PQgetCancel(connection) else { return nil }
        self.pointer = pointer
    }

    deinit {
        PQfreeCancel(pointer)
    }

    /// Sends the request from another thread.
    ///
    /// When `completion` is called the server has signalled the backend, so that no later command
    /// can be hit. A server that is gone makes this take as long as its kernel likes; the channel
    /// closes its connection meanwhile.
    func send(completion: @escaping @Sendable () -> Void) {
        DispatchQueue.blocking("postgres.cancel").async {
            var message = [CChar](repeating: 0, count: Self.errorCapacity)
            // A failure needs no handling: the exchange ends by its grace period.
            _ = PQcancel(self.pointer, &message, Int32(Self.errorCapacity))
            completion()
        }
    }
}
