import Model

/// Who works next, among the requests of many users: in order of arrival within a user, and fair
/// between users by the work that each has caused.
///
/// A value without clock, tasks or chance. Invariants, which random walks of its tests check:
///
/// 1. Never more turns are under way than `Limits.turns`, nor of one user than `turnsPerUser`.
/// 2. The requests of one user begin in the order in which they came.
/// 3. A request waits only while all turns are taken, or its user's are.
/// 4. Two users that always have requests waiting cause the same work, up to a few turns each.
/// 5. Of a user with a turn under way, the next request prepares, once.
///
/// Start-time fair queuing: each user has a mark on a scale of work, and the user with the lowest
/// mark is next. A turn moves its user's mark by the work it caused, which is known only at its
/// end. A user that had no request joins at the highest mark with which a turn began: it is served
/// soon, and saves up nothing.
package struct FairQueue: Sendable {
    /// The number of a request. The caller chooses it: no two requests that wait have the same.
    package typealias ID = Int

    package struct Limits: Hashable, Sendable {
        /// Turns under way at once.
        package var turns: Int
        /// Turns of one user under way at once.
        package var turnsPerUser: Int
        /// Requests that wait. As many users again may have one each, so that those who fill the
        /// queue do not keep out who has none in it.
        package var waiting: Int
        /// Requests of one user that wait.
        package var waitingPerUser: Int
        /// Most requests of one turn. All are of one user.
        package var requestsPerTurn: Int

        package init(
            turns: Int, turnsPerUser: Int, waiting: Int, waitingPerUser: Int,
            requestsPerTurn: Int = 1
        ) {
            self.turns = turns
            self.turnsPerUser = turnsPerUser
            self.waiting = waiting
            self.waitingPerUser = waitingPerUser
            self.requestsPerTurn = requestsPerTurn
        }
    }

    /// Requests that are worked on together.
    package struct Turn: Equatable, Sendable {
        package let user: UserID
        /// In order of arrival; at least one.
        package let requests: [ID]
    }

    /// What becomes of a request that arrives.
    package enum Arrival: Equatable {
        case begins(Turn)
        case waits
        /// Too many wait.
        case refused(Refusal)
    }

    package enum Refusal: Error, Equatable, Sendable {
        /// As many of the user's requests wait as may.
        case user
        /// As many requests wait as may, of all users.
        case all
    }

    private struct User {
        var waiting = WaitList<Void>()
        var turns = 0
        /// Work caused, on the scale of all users.
        var mark: Double
        /// Its number in `next`; nil if it is not there.
        var candidate: Int?
        /// The last request that was asked to prepare.
        var prepared: ID?
    }

    /// A user that could begin a turn.
    private struct Candidate: Comparable {
        let mark: Double
        /// Candidates with one mark take turns in the order in which they became candidates.
        let number: Int
        let user: UserID

        static func < (left: Candidate, right: Candidate) -> Bool {
            (left.mark, left.number) < (right.mark, right.number)
        }
    }

    /// Users that are remembered though they have no request. Over it the work of all such is
    /// forgotten.
    static let maximumIdleUsers = 10_000

    private let limits: Limits
    private var users: [UserID: User] = [:]
    private var next = Heap<Candidate>()
    private var lastCandidate = 0
    /// The highest mark of a user whose turn has begun.
    private var currentMark = 0.0
    /// Turns under way.
    package private(set) var turns = 0
    /// Requests that wait.
    package private(set) var waiting = 0

    package init(_ limits: Limits) {
        self.limits = limits
    }

    /// Requests of a user that wait.
    package func waiting(of user: UserID) -> Int { users[user]?.waiting.count ?? 0 }

    /// Users that are remembered: those with requests, and those that worked since the queue was
    /// last empty.
    var rememberedUsers: Int { users.count }

    /// A request arrives.
    package mutating func arrive(_ id: ID, from name: UserID) -> Arrival {
        var user = users[name] ?? User(mark: currentMark)
        if user.turns == 0, user.waiting.isEmpty { user.mark = max(user.mark, currentMark) }
        if turns < limits.turns, user.turns < limits.turnsPerUser, user.waiting.isEmpty {
            return .begins(begin(name, &user, [id]))
        }
        guard user.waiting.count < limits.waitingPerUser else { return .refused(.user) }
        let places = user.waiting.isEmpty ? 2 * limits.waiting : limits.waiting
        guard waiting < places else { return .refused(.all) }
        user.waiting.append(id, ())
        waiting += 1
        offer(name, &user)
        users[name] = user
        return .waits
    }

    /// The request of a user that is next after the turns under way, if it was not asked before.
    ///
    /// What can be done before its turn is done while the turns before it go on: of one request of
    /// a user at a time, and of users that work, so that there is no more of it than of turns.
    package mutating func prepareNext(of name: UserID) -> ID? {
        guard let user = users[name], user.turns > 0, let first = user.waiting.first,
            user.prepared != first
        else { return nil }
        users[name]?.prepared = first
        return first
    }

    /// A request no longer waits for its turn.
    ///
    /// - Returns: whether it was waiting. One whose turn has begun was not.
    package mutating func leave(_ id: ID, of name: UserID) -> Bool {
        guard users[name]?.waiting.remove(id) == true else { return false }
        waiting -= 1
        return true
    }

    /// A turn is over.
    ///
    /// - Parameter work: what it caused, in any unit that is the same for all.
    /// - Returns: the turns that begin now.
    package mutating func finish(_ turn: Turn, work: Double) -> [Turn] {
        turns -= 1
        if var user = users[turn.user] {
            user.turns -= 1
            user.mark += max(0, work)
            offer(turn.user, &user)
            users[turn.user] = user
        }
        var begun: [Turn] = []
        while turns < limits.turns, let turn = takeNext() { begun.append(turn) }
        if turns == 0, waiting == 0 {
            forget()
        } else if users.count > Self.maximumIdleUsers + turns + waiting {
            users = users.filter { $0.value.turns > 0 || !$0.value.waiting.isEmpty }
        }
        return begun
    }

    private mutating func takeNext() -> Turn? {
        while let candidate = next.popFirst() {
            guard var user = users[candidate.user], user.candidate == candidate.number else {
                continue
            }
            user.candidate = nil
            guard !user.waiting.isEmpty, user.turns < limits.turnsPerUser else {
                users[candidate.user] = user
                continue
            }
            guard user.mark <= candidate.mark else {
                // Its other turns have caused work meanwhile.
                offer(candidate.user, &user)
                users[candidate.user] = user
                continue
            }
            var requests: [ID] = []
            while requests.count < limits.requestsPerTurn, let id = user.waiting.popFirst() {
                requests.append(id)
            }
            waiting -= requests.count
            return begin(candidate.user, &user, requests)
        }
        return nil
    }

    private mutating func begin(_ name: UserID, _ user: inout User, _ requests: [ID]) -> Turn {
        turns += 1
        user.turns += 1
        currentMark = max(currentMark, user.mark)
        offer(name, &user)
        users[name] = user
        return Turn(user: name, requests: requests)
    }

    /// Makes a user a candidate if it could begin a turn and is none.
    private mutating func offer(_ name: UserID, _ user: inout User) {
        guard !user.waiting.isEmpty, user.turns < limits.turnsPerUser, user.candidate == nil
        else { return }
        lastCandidate += 1
        user.candidate = lastCandidate
        next.insert(Candidate(mark: user.mark, number: lastCandidate, user: name))
    }

    /// Nobody works or waits: who caused what no longer matters.
    private mutating func forget() {
        users.removeAll(keepingCapacity: true)
        next.removeAll()
        currentMark = 0
    }
}
