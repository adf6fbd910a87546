import HTTPTypes
import RPC
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Who watches at once, within limits. Ends them all when the gateway goes down.
final class Watchers: Service {
    /// Seconds after which a watch that was refused may be tried again.
    private static let retryAfter = 10

    private struct State {
        var seats: Seats
        var watches: [Seats.ID: WeakWatch] = [:]
        var isClosed = false
    }

    /// A watch, as this list and its alarm know it.
    private struct WeakWatch: Sendable {
        weak let watch: Watch?
    }

    private let state: Mutex<State>
    private let alarms = Alarms<WeakWatch> { $0.watch?.ring() }
    private let refusals: GatewayRefusals

    init(_ limits: Seats.Limits, refusals: GatewayRefusals) {
        state = Mutex(State(seats: Seats(limits)))
        self.refusals = refusals
    }

    /// Watches that are open.
    var open: Int { state.withLock { $0.seats.count } }

    /// Waits for the gateway to go down; then no watch goes on, and none begins.
    func run() async throws {
        try? await gracefulShutdown()
        let watches = state.withLock { state in
            state.isClosed = true
            return Array(state.watches.values)
        }
        for each in watches { each.watch?.sayGoodbye() }
    }

    /// Takes a place; a device that has all that it may have loses its oldest watch.
    ///
    /// - Returns: a place, given back when it goes.
    /// - Throws: `WireError` 429 when the user has no place left, 503 when there is none at all.
    func enter(_ caller: CallerIdentity) throws(WireError) -> Place {
        let (seat, former): (Seats.Taken, WeakWatch?)
        do throws(Seats.Full) {
            (seat, former) = try state.withLock { state throws(Seats.Full) in
                let seat = try state.seats.take(user: caller.userID, device: caller.deviceID)
                return (seat, seat.replaced.flatMap { state.watches.removeValue(forKey: $0) })
            }
        } catch {
            throw Self.refusal(error)
        }
        if seat.replaced != nil { refusals.count(.replacedWatch) }
        former?.watch?.end()
        return Place(watchers: self, id: seat.id)
    }

    private static func refusal(_ full: Seats.Full) -> WireError {
        switch full {
        case .total:
            WireError(
                status: .serviceUnavailable, code: "too_many_watchers",
                message: "Too many devices watch; use /sync/download?wait, or come back later",
                retryAfter: retryAfter)
        case .user:
            WireError(
                status: .tooManyRequests, code: "too_many_waiting",
                message: "Too many watches of this user; end another, or come back later",
                retryAfter: retryAfter)
        }
    }

    final class Place: Sendable {
        private let watchers: Watchers
        private let id: Seats.ID

        fileprivate init(watchers: Watchers, id: Seats.ID) {
            self.watchers = watchers
            self.id = id
        }

        /// From now on the watch ends with the gateway, or for a newer one of its device.
        func take(_ watch: Watch) {
            let (isClosed, isTaken) = watchers.state.withLock { state in
                let isTaken = state.seats.isTaken(id)
                if isTaken { state.watches[id] = WeakWatch(watch: watch) }
                return (state.isClosed, isTaken)
            }
            if isClosed { watch.sayGoodbye() }
            if !isTaken { watch.end() }
        }

        /// Rings at that time, if the watch is still there.
        func ring(_ watch: Watch, at instant: ContinuousClock.Instant) {
            watchers.alarms.set(WeakWatch(watch: watch), at: instant)
        }

        deinit {
            watchers.state.withLock { state in
                state.seats.leave(id)
                state.watches[id] = nil
            }
        }
    }
}
