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
package final class FairGate<Request: Sendable, Answer: Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant
    package typealias Outcome = Result<Answer, any Error>

    /// How a request's wait ended.
    private enum Wake: Sendable {
        case leads(FairQueue.Turn, [Request])
        case answered(Outcome)
        case refused(TurnRefusal)
    }

    private struct Waiter: Sendable {
        let request: Request
        let continuation: CheckedContinuation<Wake, Never>
    }

    private struct State {
        var queue: FairQueue
        /// Requests without an answer, but for those that lead a turn.
        var waiters: [FairQueue.ID: Waiter] = [:]

        /// The requests of a turn that begins. The first no longer waits: it leads.
        mutating func take(_ turn: FairQueue.Turn) -> (leader: Waiter?, requests: [Request]) {
            let requests = turn.requests.compactMap { waiters[$0]?.request }
            return (waiters.removeValue(forKey: turn.requests[0]), requests)
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
    ///   - work: answers the requests of a turn, in their order. Runs in the task of the first.
    /// - Throws: `TurnRefusal`, or the failure of the request's outcome.
    package func submit(
        _ request: Request, of user: UserID, by latest: Instant,
        isolation: isolated (any Actor)? = #isolation,
        work: ([Request]) async -> [Outcome]
    ) async throws -> Answer {
        let id = lastID.add(1, ordering: .relaxed).newValue
        let wake = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                arrive(Waiter(request: request, continuation: continuation), id, user, latest)
            }
        } onCancel: {
            refuse(id, of: user, .cancelled)
        }
        switch wake {
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
        answer: (Request) async throws -> Answer
    ) async throws -> Answer {
        try await submit(request, of: user, by: latest, isolation: isolation) { requests in
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
        let arrival = state.withLock { state in
            let arrival = state.queue.arrive(id, from: user)
            if case .waits = arrival { state.waiters[id] = waiter }
            return arrival
        }
        switch arrival {
        case .begins(let turn):
            waiter.continuation.resume(returning: .leads(turn, [waiter.request]))
        case .refused(.user): waiter.continuation.resume(returning: .refused(.userIsFull))
        case .refused(.all): waiter.continuation.resume(returning: .refused(.full))
        case .waits:
            alarms.set(Place(gate: self, id: id, user: user), at: latest)
            // Cancelled before it waited: the handler found nothing to refuse.
            if Task.isCancelled { refuse(id, of: user, .cancelled) }
        }
    }

    /// Ends a request's wait, unless its turn has begun.
    private func refuse(_ id: FairQueue.ID, of user: UserID, _ refusal: TurnRefusal) {
        let waiter = state.withLock { state in
            state.queue.leave(id, of: user) ? state.waiters.removeValue(forKey: id) : nil
        }
        waiter?.continuation.resume(returning: .refused(refusal))
    }

    /// Answers the requests of a turn but the first, and lets the next turns begin.
    private func finish(_ turn: FairQueue.Turn, _ outcomes: [Outcome], after time: Duration) {
        precondition(outcomes.count == turn.requests.count, "an outcome for each request")
        let (answered, begun) = state.withLock { state in
            let answered = turn.requests.dropFirst().map { state.waiters.removeValue(forKey: $0) }
            let turns = state.queue.finish(turn, work: time / .seconds(1))
            return (answered, turns.map { (turn: $0, start: state.take($0)) })
        }
        for (waiter, outcome) in zip(answered, outcomes.dropFirst()) {
            waiter?.continuation.resume(returning: .answered(outcome))
        }
        for (turn, start) in begun {
            start.leader?.continuation.resume(returning: .leads(turn, start.requests))
        }
    }
}
