import HTTPTypes
import RPC
import Synchronization

/// The downloads that wait for news at once, within limits.
///
/// Beyond a limit a poll is refused, with the time to come back after. An empty page at once would
/// be what the protocol allows too, but a client that takes it for the end of its wait asks again
/// at once, and so for ever.
final class LongPolls: Sendable {
    /// Seconds after which one who was refused may come back: some of the polls have ended by then.
    private static let retryAfter = 5

    private let seats: Mutex<Seats>

    init(_ limits: Seats.Limits) {
        seats = Mutex(Seats(limits))
    }

    /// Polls that wait.
    var open: Int { seats.withLock { $0.count } }

    /// - Returns: a place, given back when it goes.
    /// - Throws: `WireError` 429 for the device's or the user's limit, 503 for that of all.
    func enter(_ caller: CallerIdentity) throws(WireError) -> Place {
        do throws(Seats.Full) {
            let seat = try seats.withLock { seats throws(Seats.Full) in
                try seats.take(user: caller.user, device: caller.device, replacesOldest: false)
            }
            return Place(polls: self, id: seat.id)
        } catch {
            throw Self.refusal(error)
        }
    }

    private static func refusal(_ full: Seats.Full) -> WireError {
        switch full {
        case .device, .user:
            WireError(
                status: .tooManyRequests, code: "too_many_waiting",
                message: "Too many long polls of this \(full == .device ? "device" : "user") at "
                    + "once; wait for one to be answered, or ask without wait",
                retryAfter: retryAfter)
        case .total:
            WireError(
                status: .serviceUnavailable, code: "overloaded",
                message: "Too many long polls at once; ask without wait, or come back later",
                retryAfter: retryAfter)
        }
    }

    final class Place: Sendable {
        private let polls: LongPolls
        private let id: Seats.ID

        fileprivate init(polls: LongPolls, id: Seats.ID) {
            self.polls = polls
            self.id = id
        }

        deinit {
            polls.seats.withLock { $0.leave(id) }
        }
    }
}
