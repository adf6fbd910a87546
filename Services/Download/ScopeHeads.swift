import Logging
import Model
import Postgres
import ServiceKit
import ServiceLifecycle
import Synchronization

/// What this replica knows of the users' last sequences, so that a device that has everything is told so
/// without asking the database, and one that waits is woken at once.
///
/// It learns from its own reads, from Upload's word after each commit (`NoteHeads`, before the device is
/// answered), and from one statement that asks for all active users together.
final class ScopeHeads: Service {
    /// Time between two polls: how late a commit is noticed that Upload did not tell of, plain SQL's above all.
    static let pollInterval: Duration = .milliseconds(500)
    /// What was not confirmed for so long is asked for again: some polls have failed.
    static let freshness: Duration = .seconds(2)
    /// A user whom nobody asks for is forgotten after this time.
    static let retention: Duration = .seconds(120)
    /// Users asked for by one statement.
    static let usersPerPoll = 10_000

    typealias Instant = ContinuousClock.Instant

    private struct Entry {
        var state: ScopeState?
        /// Devices that may read no more.
        var revoked: Set<DeviceID> = []
        /// The database was asked after this.
        var confirmed: Instant?
        var lastUse: Instant
        var waiters: [Int: Waiter] = [:]
        /// The highest sequence heard of in this history, also while no state is known.
        var told: Sequence64 = 0
        /// When it became that.
        var toldAt: Instant?
    }

    private struct Waiter {
        let beyond: Sequence64
        let continuation: CheckedContinuation<Bool, Never>
    }

    /// A caller that waits, as its alarm knows it.
    private struct Parked: Sendable {
        let id: Int
        let user: UserID
        weak let heads: ScopeHeads?
    }

    private struct State {
        var nextID = 0
        var entries: [UserID: Entry] = [:]
        var waiting = 0
        var isClosed = false
    }

    private let pool: PostgresPool
    private let logger: Logger
    private let state = Mutex(State())
    private let alarms = Alarms<Parked> { $0.heads?.release($0.id, $0.user) }

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Callers that wait now.
    var waiting: Int { state.withLock { $0.waiting } }

    /// Users that are asked for.
    var tracked: Int { state.withLock { $0.entries.count } }

    // MARK: - What is known

    /// The user's state, if it was confirmed lately and the device is not known to be revoked. From this call
    /// on the user is followed: nothing that Upload tells of it is missed.
    func known(_ user: UserID, for device: DeviceID, now: Instant = .now) -> ScopeState? {
        state.withLock { state in
            state.entries[user, default: Entry(lastUse: now)].lastUse = now
            guard let entry = state.entries[user], let confirmed = entry.confirmed,
                now - confirmed < Self.freshness, !entry.revoked.contains(device)
            else { return nil }
            return entry.state
        }
    }

    /// A reading of the database.
    ///
    /// - Parameters:
    ///   - revoked: all of the user's devices that may read no more; nil if it was not asked for.
    ///   - asked: a time before it was asked.
    func learn(
        _ reading: ScopeState, of user: UserID, revoked: Set<DeviceID>? = nil, asked: Instant,
        now: Instant = .now
    ) {
        update(user) { entry in
            var reading = reading
            // In another history what was known means nothing.
            if let known = entry.state, known.epoch != reading.epoch { entry.told = 0 }
            // Upload's word, or another reading, may be younger than this one. One that began after them is right: they
            // told of what is committed, and where that was more, the database was restored since.
            if entry.toldAt.map({ asked <= $0 }) ?? false {
                reading.head = max(reading.head, entry.told)
            }
            if reading.head != entry.told { entry.toldAt = now }
            entry.told = reading.head
            entry.state = reading
            if let revoked { entry.revoked = revoked }
            entry.confirmed = max(entry.confirmed ?? asked, asked)
        }
    }

    /// Upload has committed up to this sequence.
    func note(_ head: Sequence64, of user: UserID, now: Instant = .now) {
        update(user) { entry in
            if head > entry.told { entry.toldAt = now }
            entry.told = max(entry.told, head)
            entry.state?.head = entry.told
        }
    }

    /// Changes a user that is followed, and wakes who has waited for it.
    private func update(_ user: UserID, _ change: (inout Entry) -> Void) {
        let woken = state.withLock { state -> [Waiter] in
            guard var entry = state.entries[user] else { return [] }
            change(&entry)
            let head = entry.state?.head ?? 0
            let woken = entry.waiters.filter { head > $0.value.beyond }
            for id in woken.keys { entry.waiters[id] = nil }
            state.waiting -= woken.count
            state.entries[user] = entry
            return Array(woken.values)
        }
        for waiter in woken { waiter.continuation.resume(returning: true) }
    }

    // MARK: - Waiting

    /// Waits until the user's last sequence is beyond `beyond`.
    ///
    /// - Parameter end: nil waits as long as the caller does.
    /// - Returns: false when the time is over or the service stops; throws when the caller goes away.
    func wait(
        for user: UserID, beyond: Sequence64, until end: Instant?
    ) async throws -> Bool {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        let answer = await park(id, user, beyond, until: end)
        try Task.checkCancellation()
        return answer
    }

    private func park(
        _ id: Int, _ user: UserID, _ beyond: Sequence64, until end: Instant?
    ) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    // Cancelled before this line: the handler found nobody to release.
                    if state.isClosed || Task.isCancelled { return false }
                    var entry = state.entries[user] ?? Entry(lastUse: .now)
                    if let head = entry.state?.head, head > beyond { return true }
                    entry.waiters[id] = Waiter(beyond: beyond, continuation: continuation)
                    state.entries[user] = entry
                    state.waiting += 1
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

    /// Polls until graceful shutdown; then whoever waits is sent away.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.poll()
                // Plain SQL announces nothing, as NOTIFY inside commits would halve throughput.
                try? await Task.sleep(for: Self.pollInterval)
            }
        }
        let left = state.withLock { state in
            state.isClosed = true
            return state.entries.flatMap { user, entry in entry.waiters.keys.map { ($0, user) } }
        }
        for (id, user) in left { release(id, user) }
    }

    /// Reads the state of every user that is followed, and forgets those whom nobody asks for.
    func poll() async {
        let asked = Instant.now
        let users = state.withLock { state in
            state.entries = state.entries.filter { _, entry in
                !entry.waiters.isEmpty || asked - entry.lastUse < Self.retention
            }
            return Array(state.entries.keys)
        }
        for start in stride(from: 0, to: users.count, by: Self.usersPerPoll) {
            let chunk = users[start..<min(start + Self.usersPerPoll, users.count)]
            do {
                try await read(chunk, asked: asked)
            } catch {
                logger.warning(
                    "the last sequences could not be read", metadata: ["error": "\(error)"])
            }
        }
    }

    private func read(_ users: ArraySlice<UserID>, asked: Instant) async throws {
        var names = ArrayBinding(of: .text, reserving: users.count)
        for user in users { names.append(user.value) }
        var bindings = Bindings()
        bindings.bind(names)
        let command = Command(DownloadStatements.readHeads, bindings)
        let result = try await pool.withConnection { try await $0.run(command) }
        for row in 0..<result.rowCount {
            let state = ScopeState(
                epoch: try result.string(row, 1), head: try result.int64(row, 2),
                floor: try result.int64(row, 3))
            let revoked = try result.string(row, 4)
                .split(separator: DownloadStatements.deviceSeparator)
            learn(
                state, of: UserID(try result.string(row, 0)),
                revoked: Set(revoked.map { DeviceID(String($0)) }), asked: asked)
        }
    }
}

/// What a reader must know of a user's log before it reads any of it.
struct ScopeState: Hashable, Sendable {
    /// The identity of the database's history.
    var epoch: String
    /// The user's last sequence; 0 for a user who has none.
    var head: Sequence64
    /// Cursors between 0 and this one miss deletes that were compacted away.
    var floor: Sequence64
}

/// A reading of the database on behalf of one device.
struct ScopeReading: Hashable, Sendable {
    let state: ScopeState
    /// The floor at which the device began to read at 0. While it is still there, cursors below it are those
    /// of a device that misses nothing. Nil: it did not begin lately, or this was not asked.
    let hydratedFrom: Sequence64?
}
