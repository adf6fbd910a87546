import LogFields
import Logging
import Model
import Postgres
import Protos
import ServiceKit
import ServiceLifecycle
import Synchronization

/// What this replica knows of the users' last sequences, so that it answers a device that has
/// everything without asking the database, and wakes one that waits at once.
///
/// It learns from its own reads, from Upload's announcements after each commit (`NoteHeads`, before
/// the device is answered), and from statements that ask for many users together, because only the
/// Uploads of this host announce.
final class ScopeHeads: Service {
    /// Longest time of one poll: a silent server must not delay the next poll for ever.
    static let pollLimit: Duration = .seconds(5)
    /// A state that was confirmed longer ago is read again, because polls have failed.
    static let freshness: Duration = .seconds(2)
    /// A user is forgotten this long after the last request.
    static let retention: Duration = .seconds(120)
    /// The most users in one statement.
    static let usersPerPoll = 10_000

    typealias Instant = ContinuousClock.Instant

    let pool: PostgresPool
    private let logger: Logger
    let state = Mutex(State())
    private let alarms = Alarms<Parked> { $0.heads?.release($0.id, $0.user) }

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Callers that wait now.
    var waiting: Int { state.withLock { $0.waiting } }

    /// Time since every user that is followed was asked for; nil if that was never so.
    var age: Duration? { state.withLock { $0.polled }.map { Instant.now - $0 } }

    /// Users that are asked for.
    var tracked: Int { state.withLock { $0.entries.count } }

    /// How often the database was asked so far.
    var readings: Readings { state.withLock { $0.readings } }

    // MARK: - What is known

    /// The user's state, if it was confirmed lately, and the database said as lately that the device may read.
    /// From this call on the user is followed: no announcement of Upload about the user is missed.
    func known(_ user: UserID, for device: DeviceID, now: Instant = .now) -> ScopeState? {
        state.withLock { state in
            state.entries[user, default: Entry(lastUse: now)].lastUse = now
            // Upload no longer tells a replica that goes down: it knows nothing any more.
            guard !state.isClosed, let entry = state.entries[user], let confirmed = entry.confirmed,
                now - confirmed < Self.freshness,
                entry.access.admits(device, since: now - Self.freshness)
            else { return nil }
            return entry.state
        }
    }

    /// A reading of the database.
    ///
    /// - Parameters:
    ///   - access: which devices may read.
    ///   - asked: a time before it was asked.
    func learn(
        _ reading: ScopeState, of user: UserID, _ access: DeviceAccess.Reading, asked: Instant,
        now: Instant = .now
    ) {
        update(user) { entry in
            var reading = reading
            // In another history what was known means nothing.
            if let known = entry.state, known.epoch != reading.epoch {
                (entry.told, entry.toldTag) = (0, nil)
            }
            // Upload's word, or another reading, may be younger than this one. One that began after them is right: they
            // told of what is committed, and where that was more, the database was restored since.
            if entry.toldAt.map({ asked <= $0 }) ?? false, entry.told > reading.head {
                (reading.head, reading.tag) = (entry.told, entry.toldTag)
            }
            // Not every reading asks for the tag, and plain SQL leaves none with its changes.
            if reading.head == entry.told { reading.tag = reading.tag ?? entry.toldTag }
            if reading.head != entry.told { (entry.toldAt, entry.committed) = (now, nil) }
            (entry.told, entry.toldTag) = (reading.head, reading.tag)
            entry.state = reading
            entry.access.learn(access, asked: asked)
            entry.confirmed = max(entry.confirmed ?? asked, asked)
        }
    }

    /// Upload has committed up to this sequence.
    ///
    /// - Parameters:
    ///   - tag: of the change there; nil: not known.
    ///   - committed: when the first change was that was not known before; nil: not known.
    func remember(
        _ head: Sequence64, tag: UInt64? = nil, committed: CommitTime? = nil, of user: UserID,
        now: Instant = .now
    ) {
        update(user) { entry in
            guard head > entry.told else { return }
            entry.toldAt = now
            (entry.told, entry.toldTag, entry.committed) = (head, tag, committed)
            entry.state?.head = head
            entry.state?.tag = tag
            // A word is not the database's own: the next poll reads.
            entry.readIn = nil
        }
    }

    /// Upload has committed up to these.
    func observe(_ request: NoteHeadsRequest) {
        for head in request.heads {
            remember(
                head.lastSeq, tag: head.lastTag == 0 ? nil : head.lastTag,
                committed: head.committedUs > 0 ? CommitTime(microseconds: head.committedUs) : nil,
                of: UserID(head.user))
        }
    }

    /// Changes a user that is followed, and wakes who has waited for it.
    private func update(_ user: UserID, _ change: (inout Entry) -> Void) {
        let woken = state.withLock { state -> [Waiter] in
            guard var entry = state.entries[user] else { return [] }
            change(&entry)
            let woken = entry.waiters.filter { _, waiter in
                waiter.isMet(by: entry.state) || entry.access.isRevoked(waiter.device)
            }
            for id in woken.keys { entry.waiters[id] = nil }
            state.waiting -= woken.count
            state.entries[user] = entry
            return Array(woken.values)
        }
        for waiter in woken { waiter.continuation.resume(returning: true) }
    }

    // MARK: - Waiting

    /// Waits until the user's last sequence is beyond `beyond`, or the log is another one: it ends
    /// earlier, or has another change there. Or until the device may have been revoked, which the
    /// caller finds out by reading.
    ///
    /// - Parameters:
    ///   - tag: of the change at `beyond`; nil: not known.
    ///   - end: nil waits as long as the caller does.
    /// - Returns: false when the time is over or the service stops; throws when the caller goes away.
    func wait(
        for user: UserID, _ device: DeviceID, beyond: Sequence64, _ tag: UInt64? = nil,
        until end: Instant?
    ) async throws -> Bool {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        let answer = await park(id, user, device, beyond, tag, until: end)
        try Task.checkCancellation()
        return answer
    }

    private func park(
        _ id: Int, _ user: UserID, _ device: DeviceID, _ beyond: Sequence64, _ tag: UInt64?,
        until end: Instant?
    ) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    // Cancelled before this line: the handler found nobody to release.
                    if state.isClosed || Task.isCancelled { return false }
                    var entry = state.entries[user] ?? Entry(lastUse: .now)
                    let waiter = Waiter(
                        beyond: beyond, tag: tag, device: device, continuation: continuation)
                    if waiter.isMet(by: entry.state) { return true }
                    // Revoked or let in again since its caller has read: the next poll tells.
                    if entry.access.isRevoked(device) { entry.readIn = nil }
                    entry.waiters[id] = waiter
                    state.entries[user] = entry
                    state.waiting += 1
                    if state.waiting == 1 { state.arrival?.yield() }
                    return nil
                }
                if let answer { return continuation.resume(returning: answer) }
                // The caller asked to be answered by then, with or without news.
                if let end { alarms.set(Parked(id: id, user: user, heads: self), at: end) }
            }
        } onCancel: {
            release(id, user)
        }
    }

    private func release(_ id: Int, _ user: UserID) {
        let waiter = state.withLock { state -> Waiter? in
            guard let waiter = state.entries[user]?.waiters.removeValue(forKey: id) else {
                return nil
            }
            state.waiting -= 1
            return waiter
        }
        waiter?.continuation.resume(returning: false)
    }

    // MARK: - Asking the database

    /// What keeps waiting devices from hearing of news, for readiness.
    func problem(now: Instant = .now) -> String? {
        guard let polled = state.withLock({ $0.polled }) else { return "not read yet" }
        guard now - polled > Self.freshness else { return nil }
        return
            "not confirmed for more than \(Self.freshness.wholeMilliseconds) ms: devices that wait hear of no "
            + "changes until they are"
    }

    /// The replica goes down: all waits end, and no new ones begin.
    func close() {
        let left = state.withLock { state in
            state.isClosed = true
            return state.entries.flatMap { user, entry in entry.waiters.keys.map { ($0, user) } }
        }
        for (id, user) in left { release(id, user) }
    }

    /// Asks until graceful shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            var pace = HeadsPace()
            while !Task.isCancelled {
                await self.step(&pace)
                // Plain SQL and other hosts announce nothing, as NOTIFY inside commits would halve throughput.
                await self.rest(pace)
            }
        }
        close()
    }

    private func step(_ pace: inout HeadsPace) async {
        let start = Instant.now
        guard let step = pace.step(at: start, isWaiting: waiting > 0) else { return }
        let outcome = step == .poll ? await poll() : await probe()
        pace.took(step, from: start, to: .now, outcome)
    }

    /// Sleeps until something is due; where nobody waits, until somebody begins to.
    private func rest(_ pace: HeadsPace) async {
        let (arrivals, arrival) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let isWaiting = state.withLock { state in
            state.arrival = arrival
            return state.waiting > 0
        }
        let pause = pace.pause(at: .now, isWaiting: isWaiting)
        guard !isWaiting else {
            // The next probe is due then; the database signals nothing.
            try? await Task.sleep(for: pause)
            return
        }
        await withTaskGroup(of: Void.self) { group in
            // Until the next probe is due, or a caller arrives.
            group.addTask { try? await Task.sleep(for: pause) }
            group.addTask { for await _ in arrivals { return } }
            await group.next()
            group.cancelAll()
        }
    }

    /// Makes sure that the state of every user that is followed is the database's, and forgets users whom nobody
    /// asks for. Where nothing was written since a state was read, it is known without reading it again.
    @discardableResult
    func poll() async -> HeadsPace.Outcome {
        let asked = Instant.now
        state.withLock { state in
            state.entries = state.entries.filter { _, entry in
                !entry.waiters.isEmpty || asked - entry.lastUse < Self.retention
            }
        }
        let outcome = await ask { connection, generation, deadline in
            // A state does not tell when what is new was written.
            let grown = try await readGrown(generation, on: connection, by: deadline)
            let users = state.withLock { $0.confirm(asked, generation) }
            for start in stride(from: 0, to: users.count, by: Self.usersPerPoll) {
                try await readStates(
                    users[start..<min(start + Self.usersPerPoll, users.count)], asked,
                    generation, on: connection, by: deadline)
            }
            return max(users.count, grown)
        }
        if outcome != .failed { state.withLock { $0.polled = asked } }
        return outcome
    }

    /// Wakes all callers that wait for what has been committed by now.
    @discardableResult
    func probe() async -> HeadsPace.Outcome {
        await ask { connection, generation, deadline in
            try await readGrown(generation, on: connection, by: deadline)
        }
    }

    /// Looks whether anything was written, and lets `read` ask the same server for what may have changed by that.
    ///
    /// - Parameter read: returns how many users it asked for.
    private func ask(
        _ read: (
            _ connection: PostgresConnection, _ generation: Int, _ deadline: Instant
        ) async throws -> Int
    ) async -> HeadsPace.Outcome {
        let deadline = Instant.now + Self.pollLimit
        do {
            let users = try await pool.withConnection(deadline: deadline) { connection in
                let (mark, database) = try await connection.run(
                    DownloadStatements.ReadMark(), deadline: deadline
                ).one()
                return try await read(
                    connection, state.withLock { $0.generation(of: mark, in: database) }, deadline)
            }
            if state.withLock({ $0.trouble.take() }) != nil {
                logger.info("the last sequences are read again")
            }
            return users == 0 ? .quiet : .read
        } catch  where Task.isCancelled {
            return .failed
        } catch {
            let isNews = state.withLock { state in
                // The next connection may lead to another server.
                state.mark = nil
                defer { state.trouble = "\(error)" }
                return state.trouble != "\(error)"
            }
            if isNews {
                logger.warning(
                    "the last sequences could not be read", metadata: .fields([.error: "\(error)"]))
            }
            return .failed
        }
    }

    /// Wakes all callers that wait for users whose logs have grown.
    ///
    /// - Returns: how many users it asked for.
    private func readGrown(
        _ generation: Int, on connection: PostgresConnection, by deadline: Instant
    ) async throws -> Int {
        let users = state.withLock { $0.awaited(generation) }
        for start in stride(from: 0, to: users.count, by: Self.usersPerPoll) {
            try await readGrown(
                users[start..<min(start + Self.usersPerPoll, users.count)], generation,
                on: connection, by: deadline)
        }
        return users.count
    }

    private func readGrown(
        _ users: ArraySlice<(UserID, Sequence64)>, _ generation: Int,
        on connection: PostgresConnection, by deadline: Instant
    ) async throws {
        var rows = try await connection.run(
            DownloadStatements.ReadGrown(users: users), deadline: deadline)
        while let row = try rows.next() {
            remember(row.head, tag: row.tag, committed: row.committed, of: row.user)
        }
        state.withLock { state in
            state.readings.grown += 1
            for (user, _) in users { state.entries[user]?.grownIn = generation }
        }
    }

    private func readStates(
        _ users: ArraySlice<UserID>, _ asked: Instant, _ generation: Int,
        on connection: PostgresConnection, by deadline: Instant
    ) async throws {
        // A word that comes meanwhile takes this back.
        state.withLock { state in
            state.readings.states += 1
            for user in users {
                state.entries[user]?.readIn = generation
                state.entries[user]?.grownIn = generation
            }
        }
        var rows = try await connection.run(
            DownloadStatements.ReadHeads(users: users), deadline: deadline)
        while let row = try rows.next() {
            learn(row.state, of: row.user, .revoked(row.revoked), asked: asked)
        }
    }
}
