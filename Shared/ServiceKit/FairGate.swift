import Model
import Synchronization
import Waiting

/// Why a request got no turn at a ``FairGate``. Nothing of it was begun.
package enum TurnRefusal: Error, Hashable, Sendable {
    /// As many of the user's requests wait as may.
    case userIsFull
    /// As many requests wait as may, of all users.
    case full
    /// Its turn did not come in time.
    case late
    /// The caller no longer waits.
    case cancelled
}

/// Lets requests in, in the order of a ``FairQueue``: in order of arrival within a user, and fair
/// between users by the time that their turns take.
///
/// The requests of a user that may share its next turn prepare, one after the other, while the turn
/// before it goes on. Those that say what they bring to it are a ``Group`` when the turn comes, as
/// many as `FairQueue.Limits` allow. A group runs apart from its callers' tasks, so that a
/// cancelled caller does not cancel the others.
package final class FairGate<Request: Sendable, Answer: Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant
    package typealias Outcome = Result<Answer, any Error>

    private typealias Continuation = CheckedContinuation<Wake, Never>

    /// The requests of a turn, if they are more than one.
    package struct Group: Sendable {
        /// In order of arrival.
        package let requests: [Request]
        fileprivate let end: @Sendable (Int, Outcome) -> Void

        /// Answers a request at once, whatever becomes of the others. A request has one answer: the
        /// first.
        ///
        /// - Parameter place: of the request among the others.
        package func answer(_ place: Int, _ outcome: Outcome) { end(place, outcome) }
    }

    /// How a request's wait ended.
    private enum Wake: Sendable {
        /// It may share its user's next turn: it prepares, and waits on.
        case prepares
        case leads(FairQueue.Turn, [Request])
        case answered(Outcome)
        case refused(TurnRefusal)
    }

    private struct Waiter: Sendable {
        let request: Request
        let prepares: Bool
        /// Nil while it prepares, and until it waits for what its turn answers.
        var continuation: Continuation?
        /// How its wait has ended, if that was meanwhile.
        var end: Wake?
    }

    private struct State {
        var queue: FairQueue
        /// Requests without an answer, but for those that lead a turn.
        var waiters: [FairQueue.ID: Waiter] = [:]
        /// Those to resume when the lock is open.
        var resumed: [(Continuation, Wake)] = []

        /// Ends a request's wait, or lets it know when it waits again. The first end counts.
        mutating func end(_ id: FairQueue.ID, _ wake: Wake) {
            if let continuation = waiters[id]?.continuation {
                waiters[id] = nil
                resumed.append((continuation, wake))
            } else if waiters[id] != nil, waiters[id]?.end == nil {
                waiters[id]?.end = wake
            }
        }

        /// A request waits again, unless its wait has ended already.
        mutating func resume(_ id: FairQueue.ID, _ continuation: Continuation) {
            waiters[id]?.continuation = continuation
            if let wake = waiters[id]?.end { end(id, wake) }
        }

        /// Lets the first request of a turn lead it.
        mutating func begin(_ turn: FairQueue.Turn) {
            let requests = turn.requests.compactMap { waiters[$0]?.request }
            end(turn.requests[0], .leads(turn, requests))
            prepareNext(of: turn.user)
        }

        /// Lets the next request of a user prepare.
        mutating func prepareNext(of user: UserID) {
            guard let id = queue.prepareNext(of: user), let waiter = waiters[id], waiter.prepares,
                let continuation = waiter.continuation
            else { return }
            waiters[id]?.continuation = nil
            resumed.append((continuation, .prepares))
        }
    }

    /// A request that waits, for its alarm.
    private struct Place: Sendable {
        weak let gate: FairGate?
        let id: FairQueue.ID
        let user: UserID
    }

    private let state: Mutex<State>
    private let lastID = Atomic(0)
    private let alarms = Alarms<Place> { $0.gate?.refuse($0.id, of: $0.user, .late) }

    package init(_ limits: FairQueue.Limits) {
        state = Mutex(State(queue: FairQueue(limits)))
    }

    /// Turns under way.
    package var turns: Int { state.withLock { $0.queue.turns } }
    /// Requests that wait.
    package var waiting: Int { state.withLock { $0.queue.waiting } }
    /// Requests that wait and could share their turn.
    package var prepared: Int { state.withLock { $0.queue.prepared } }

    /// Waits for a turn, and answers.
    ///
    /// - Parameters:
    ///   - latest: when the wait ends, if no turn has come.
    ///   - prepare: what can be done for the request before its turn; tells what it brings to a
    ///     turn with others, or nil if it works alone. Runs at most once, while a turn of its user
    ///     goes on; not at all if its turn comes at once.
    ///   - together: answers the requests of a group, each once. Nil: none share a turn.
    ///   - answer: answers the request if its turn is its own.
    /// - Throws: `TurnRefusal`, what `answer` throws, or the failure that `together` answers with.
    package func submit(
        _ request: Request, of user: UserID, by latest: Instant,
        isolation: isolated (any Actor)? = #isolation,
        prepare: (@Sendable () async -> FairQueue.Load?)? = nil,
        together: (@Sendable (Group) async -> Void)? = nil,
        answer: (Request) async throws -> Answer
    ) async throws -> Answer {
        let id = lastID.add(1, ordering: .relaxed).newValue
        var wake = await withTaskCancellationHandler {
            let wake = await withCheckedContinuation { continuation in
                let waiter = Waiter(
                    request: request, prepares: prepare != nil, continuation: continuation)
                arrive(waiter, id, user, latest)
            }
            guard case .prepares = wake, let prepare else { return wake }
            let load = await prepare()
            return await withCheckedContinuation {
                waitOn($0, id, of: user, as: together == nil ? nil : load)
            }
        } onCancel: {
            refuse(id, of: user, .cancelled)
        }
        if case .leads(let turn, let requests) = wake {
            guard requests.count > 1, let together else {
                let start = Instant.now
                defer { finish(turn, after: .now - start) }
                return try await answer(request)
            }
            wake = await lead(turn, requests, together)
        }
        switch wake {
        // Not reached: a request prepares once, and leads once.
        case .prepares, .leads: throw TurnRefusal.cancelled
        case .refused(let refusal): throw refusal
        case .answered(let outcome): return try outcome.get()
        }
    }

    /// Has the requests of a turn worked on, and waits for the answer of the first.
    private func lead(
        _ turn: FairQueue.Turn, _ requests: [Request],
        _ together: @escaping @Sendable (Group) async -> Void
    ) async -> Wake {
        let start = Instant.now
        change { $0.waiters[turn.requests[0]] = Waiter(request: requests[0], prepares: false) }
        let group = Group(requests: requests) { [self] place, outcome in
            guard turn.requests.indices.contains(place) else { return }
            change { $0.end(turn.requests[place], .answered(outcome)) }
        }
        // Not a child of this task, which the first request's caller may cancel.
        Task {
            await together(group)
            finish(turn, after: .now - start)
        }
        return await withCheckedContinuation { continuation in
            change { $0.resume(turn.requests[0], continuation) }
        }
    }

    private func arrive(
        _ waiter: Waiter, _ id: FairQueue.ID, _ user: UserID, _ latest: Instant
    ) {
        let waits = change { state in
            let arrival = state.queue.arrive(id, from: user)
            state.waiters[id] = waiter
            switch arrival {
            case .begins(let turn): state.begin(turn)
            case .refused(.user): state.end(id, .refused(.userIsFull))
            case .refused(.all): state.end(id, .refused(.full))
            case .waits:
                state.prepareNext(of: user)
                return true
            }
            return false
        }
        guard waits else { return }
        alarms.set(Place(gate: self, id: id, user: user), at: latest)
        // Cancelled before it waited: the handler found nothing to refuse.
        if Task.isCancelled { refuse(id, of: user, .cancelled) }
    }

    /// A request that has prepared waits again, unless its wait has ended meanwhile.
    private func waitOn(
        _ continuation: Continuation, _ id: FairQueue.ID, of user: UserID,
        as load: FairQueue.Load?
    ) {
        change { state in
            state.queue.prepared(id, of: user, as: load)
            state.resume(id, continuation)
            state.prepareNext(of: user)
        }
    }

    /// Ends a request's wait, unless its turn has begun.
    private func refuse(_ id: FairQueue.ID, of user: UserID, _ refusal: TurnRefusal) {
        change { state in
            guard state.queue.leave(id, of: user) else { return }
            state.end(id, .refused(refusal))
            state.prepareNext(of: user)
        }
    }

    /// Lets the next turns begin.
    private func finish(_ turn: FairQueue.Turn, after time: Duration) {
        change { state in
            // Only requests of a group that has forgotten them still wait here.
            for id in turn.requests { state.end(id, .refused(.cancelled)) }
            for next in state.queue.finish(turn, work: time / .seconds(1)) { state.begin(next) }
        }
    }

    /// Changes the state, and then resumes those whose wait has ended.
    private func change<Result>(_ body: (inout State) -> Result) -> Result {
        let (result, resumed) = state.withLock { state in
            let result = body(&state)
            defer { state.resumed = [] }
            return (result, state.resumed)
        }
        for (continuation, wake) in resumed { continuation.resume(returning: wake) }
        return result
    }
}
