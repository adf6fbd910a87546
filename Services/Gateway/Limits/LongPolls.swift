import HTTPTypes
import RPC
import Synchronization

/// The downloads that wait for news at once, within limits.
///
/// A device that has all that it may have ends its oldest poll with a further one: most likely it
/// has given that one up. Beyond the other limits a poll is refused, with the time to come back
/// after. An empty page at once would be what the protocol allows too, but a client that takes it
/// for the end of its wait asks again at once, and so for ever.
final class LongPolls: Sendable {
    /// Seconds after which one who was refused may come back: some of the polls have ended by then.
    private static let retryAfter = 5

    private struct State {
        var seats: Seats
        /// How each poll hears that its seat is another's.
        var endings: [Seats.ID: @Sendable () -> Void] = [:]
    }

    private let state: Mutex<State>
    private let refusals: GatewayRefusals

    init(_ limits: Seats.Limits, refusals: GatewayRefusals) {
        state = Mutex(State(seats: Seats(limits)))
        self.refusals = refusals
    }

    /// Polls that wait.
    var open: Int { state.withLock { $0.seats.count } }

    /// - Returns: a place, given back when it goes.
    /// - Throws: `WireError` 429 for the user's limit, 503 for that of all.
    func enter(_ caller: CallerIdentity) throws(WireError) -> Place {
        let (seat, end): (Seats.Taken, (@Sendable () -> Void)?)
        do throws(Seats.Full) {
            (seat, end) = try state.withLock { state throws(Seats.Full) in
                let seat = try state.seats.take(user: caller.userID, device: caller.deviceID)
                return (seat, seat.replaced.flatMap { state.endings.removeValue(forKey: $0) })
            }
        } catch {
            throw Self.refusal(error)
        }
        if seat.replaced != nil { refusals.count(.replacedPoll) }
        end?()
        return Place(polls: self, id: seat.id)
    }

    private static func refusal(_ full: Seats.Full) -> WireError {
        switch full {
        case .user:
            WireError(
                status: .tooManyRequests, code: "too_many_waiting",
                message: "Too many long polls of this user at once; wait for one to be answered, "
                    + "or ask without wait",
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

        /// Whether a newer poll of the device has the place.
        var isReplaced: Bool { !polls.state.withLock { $0.seats.isTaken(id) } }

        /// Calls `end` when it is replaced, at once if it is already.
        func whenReplaced(_ end: @escaping @Sendable () -> Void) {
            let isTaken = polls.state.withLock { state in
                let isTaken = state.seats.isTaken(id)
                if isTaken { state.endings[id] = end }
                return isTaken
            }
            if !isTaken { end() }
        }

        deinit {
            polls.state.withLock { state in
                state.seats.leave(id)
                state.endings[id] = nil
            }
        }
    }
}
