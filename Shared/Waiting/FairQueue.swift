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
/// 5. Of a user with a turn under way, the requests that may share its next turn prepare, each
///    once, one at a time.
/// 6. A turn of several requests is of one user, and all of them have said before what they bring
///    to it: together no more than `Limits` say.
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
        /// Most that the requests of a turn of several bring to it.
        package var loadPerTurn: Load

        package init(
            turns: Int, turnsPerUser: Int, waiting: Int, waitingPerUser: Int,
            requestsPerTurn: Int = 1, loadPerTurn: Load = Load(items: .max, bytes: .max)
        ) {
            self.turns = turns
            self.turnsPerUser = turnsPerUser
            self.waiting = waiting
            self.waitingPerUser = waitingPerUser
            self.requestsPerTurn = requestsPerTurn
            self.loadPerTurn = loadPerTurn
        }
    }

    /// What a request brings to a turn that it shares with others.
    package struct Load: Hashable, Sendable {
        package var items: Int
        package var bytes: Int

        package init(items: Int, bytes: Int) {
            self.items = items
            self.bytes = bytes
        }

        /// Both together; nil if that is more than the limit.
        func adding(_ other: Load, within limit: Load) -> Load? {
            let (items, bytes) = (items + other.items, bytes + other.bytes)
            guard items <= limit.items, bytes <= limit.bytes else { return nil }
            return Load(items: items, bytes: bytes)
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

    /// What is known of a request that waits.
    private struct Place {
        /// It was asked to prepare.
        var isAsked = false
        /// Nil until it has prepared, and if it works alone.
        var load: Load?
    }

    private struct User {
        var waiting = WaitList<Place>()
        var turns = 0
        /// Work caused, on the scale of all users.
        var mark: Double
        /// Its number in `next`; nil if it is not there.
        var candidate: Int?
        /// The request that prepares, while it waits.
        var preparing: ID?
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

    /// Requests that wait and have said what they bring to a turn with others.
    package var prepared: Int {
        users.values.reduce(0) { $0 + $1.waiting.values.count { $0.load != nil } }
    }

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
        user.waiting.append(id, Place())
        waiting += 1
        offer(name, &user)
        users[name] = user
        return .waits
    }

    /// The next request of a user to prepare: of those that may share the turn after the ones under
    /// way, the first that was not asked before.
    ///
    /// What can be done before its turn is done while the turns before it go on: for one request of
    /// a user at a time, and for users that work, so that there is no more of it than of turns.
    package mutating func prepareNext(of name: UserID) -> ID? {
        guard let user = users[name], user.turns > 0, user.preparing == nil,
            let id = user.waiting.first(among: limits.requestsPerTurn, where: { !$0.isAsked })
        else { return nil }
        users[name]?.waiting.update(id) { $0.isAsked = true }
        users[name]?.preparing = id
        return id
    }

    /// A request has prepared.
    ///
    /// - Parameter load: what it brings to a turn with others; nil if it works alone.
    package mutating func prepared(_ id: ID, of name: UserID, as load: Load?) {
        users[name]?.waiting.update(id) { $0.load = load }
        if users[name]?.preparing == id { users[name]?.preparing = nil }
    }

    /// A request no longer waits for its turn.
    ///
    /// - Returns: whether it was waiting. One whose turn has begun was not.
    package mutating func leave(_ id: ID, of name: UserID) -> Bool {
        guard users[name]?.waiting.remove(id) == true else { return false }
        if users[name]?.preparing == id { users[name]?.preparing = nil }
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
            let requests = takeRequests(of: &user)
            waiting -= requests.count
            return begin(candidate.user, &user, requests)
        }
        return nil
    }

    /// The first request, and those after it that share its turn: a request is never passed over.
    private func takeRequests(of user: inout User) -> [ID] {
        var requests: [ID] = []
        var sum = user.waiting.first.flatMap { user.waiting[$0]?.load }
        while let id = user.waiting.first {
            if !requests.isEmpty {
                guard requests.count < limits.requestsPerTurn, let load = user.waiting[id]?.load,
                    let both = sum?.adding(load, within: limits.loadPerTurn)
                else { break }
                sum = both
            }
            _ = user.waiting.popFirst()
            if user.preparing == id { user.preparing = nil }
            requests.append(id)
        }
        return requests
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
