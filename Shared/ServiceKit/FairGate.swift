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
/// A turn may have several requests (`FairQueue.Limits.requestsPerTurn`): the first one leads,
/// works on all of them in its own task, and hands the others their answers. So the cancellation of
/// its caller reaches the whole turn: a service that sets more than one must work apart from it.
///
/// The request that is the next of a user prepares while the turn before it goes on.
package final class FairGate<Request: Sendable, Answer: Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant
    package typealias Outcome = Result<Answer, any Error>

    private typealias Continuation = CheckedContinuation<Wake, Never>

    /// How a request's wait ended.
    private enum Wake: Sendable {
        /// It is the next of its user: it prepares, and waits on.
        case prepares
        case leads(FairQueue.Turn, [Request])
        case answered(Outcome)
        case refused(TurnRefusal)
    }

    private struct Waiter: Sendable {
        let request: Request
        let prepares: Bool
        /// Nil while it prepares.
        var continuation: Continuation?
        /// How its wait has ended, if that was while it prepared.
        var end: Wake?
    }

    private struct State {
        var queue: FairQueue
        /// Requests without an answer, but for those that lead a turn.
        var waiters: [FairQueue.ID: Waiter] = [:]
        /// Those to resume when the lock is open.
        var resumed: [(Continuation, Wake)] = []

        /// Ends a request's wait, or lets it know when it has prepared.
        mutating func end(_ id: FairQueue.ID, _ wake: Wake) {
            if let continuation = waiters[id]?.continuation {
                waiters[id] = nil
                resumed.append((continuation, wake))
            } else {
                waiters[id]?.end = wake
            }
        }

        /// Lets the first request of a turn lead it.
        mutating func begin(_ turn: FairQueue.Turn) {
            let requests = turn.requests.compactMap { waiters[$0]?.request }
            end(turn.requests[0], .leads(turn, requests))
            prepareNext(of: turn.user)
        }

        /// Lets the request prepare that is the next of a user.
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

    /// Waits for a turn, and answers.
    ///
    /// - Parameters:
    ///   - latest: when the wait ends, if no turn has come.
    ///   - prepare: what can be done for the request before its turn. Runs at most once, while its
    ///     user's turn before it goes on; not at all if its turn comes at once.
    ///   - work: answers the requests of a turn, in their order. Runs in the task of the first.
    /// - Throws: `TurnRefusal`, or the failure of the request's outcome.
    package func submit(
        _ request: Request, of user: UserID, by latest: Instant,
        isolation: isolated (any Actor)? = #isolation,
        prepare: (@Sendable () async -> Void)? = nil,
        work: ([Request]) async -> [Outcome]
    ) async throws -> Answer {
        let id = lastID.add(1, ordering: .relaxed).newValue
        let wake = await withTaskCancellationHandler {
            let wake = await withCheckedContinuation { continuation in
                let waiter = Waiter(
                    request: request, prepares: prepare != nil, continuation: continuation)
                arrive(waiter, id, user, latest)
            }
            guard case .prepares = wake, let prepare else { return wake }
            await prepare()
            return await withCheckedContinuation { waitOn($0, id) }
        } onCancel: {
            refuse(id, of: user, .cancelled)
        }
        switch wake {
        // Not reached: a request prepares once.
        case .prepares: throw TurnRefusal.cancelled
        case .refused(let refusal): throw refusal
        case .answered(let outcome): return try outcome.get()
        case .leads(let turn, let requests):
            let start = Instant.now
            let outcomes = await work(requests)
            finish(turn, outcomes, after: .now - start)
            return try outcomes[0].get()
        }
    }

    /// Waits for a turn, and answers; the requests of a turn one after the other.
    ///
    /// - Throws: `TurnRefusal`, or what `answer` throws for this request.
    package func submit(
        _ request: Request, of user: UserID, by latest: Instant,
        isolation: isolated (any Actor)? = #isolation,
        prepare: (@Sendable () async -> Void)? = nil,
        answer: (Request) async throws -> Answer
    ) async throws -> Answer {
        try await submit(
            request, of: user, by: latest, isolation: isolation, prepare: prepare
        ) { requests in
            var outcomes: [Outcome] = []
            for request in requests {
                do {
                    outcomes.append(.success(try await answer(request)))
                } catch {
                    outcomes.append(.failure(error))
                }
            }
            return outcomes
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
    private func waitOn(_ continuation: Continuation, _ id: FairQueue.ID) {
        change { state in
            state.waiters[id]?.continuation = continuation
            if let wake = state.waiters[id]?.end { state.end(id, wake) }
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

    /// Answers the requests of a turn but the first, and lets the next turns begin.
    private func finish(_ turn: FairQueue.Turn, _ outcomes: [Outcome], after time: Duration) {
        precondition(outcomes.count == turn.requests.count, "an outcome for each request")
        change { state in
            for (id, outcome) in zip(turn.requests, outcomes).dropFirst() {
                state.end(id, .answered(outcome))
            }
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
