import DatabaseKit
import LogFields
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle
import Synchronization
import Telemetry

/// The standbys of this replica, and what it knows of each. ``StandbyState`` holds the rules; this
/// type looks at the servers, and says which standby is next.
final class Standbys: Service {
    typealias Instant = ContinuousClock.Instant

    /// Time from one look to the next.
    static let interval: Duration = .milliseconds(500)
    /// Longest time of a look at one server. With the one at the primary before it, and the pause,
    /// it stays below ``StandbyState/freshness``. One that hangs takes its grace longer.
    static let lookLimit: Duration = .milliseconds(600)

    /// One standby.
    struct Member: Sendable {
        let name: String
        let pool: PostgresPool
        /// Most connections of the pool.
        let connections: Int
        /// Looks at it.
        let connection: PostgresPool

        init(name: String, pool: PostgresPool, connections: Int, connection: PostgresPool) {
            (self.name, self.pool, self.connections) = (name, pool, connections)
            self.connection = connection
        }

        init(_ database: StandbyDatabase) {
            self.init(
                name: database.name, pool: database.pool, connections: database.connections,
                connection: database.connection)
        }
    }

    private struct State {
        var standbys: [StandbyState]
        /// What the log has of each.
        var told: [StandbyTrouble?]
        /// The standby that had a page last.
        var last = 0
    }

    let members: [Member]
    private let primary: PostgresPool
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - primary: one connection to the primary, for looks alone. To be run as a service.
    ///   - lagLimit: a standby further behind is not asked.
    init(
        _ members: [Member], primary: PostgresPool, logger: Logger,
        lagLimit: Duration = StandbyState.longestLag
    ) {
        self.members = members
        self.primary = primary
        self.logger = logger
        state = Mutex(
            State(
                standbys: members.map { _ in StandbyState(lagLimit: lagLimit) },
                // That nobody has looked yet is no news.
                told: members.map { _ in .unknown }))
    }

    /// Everything that is to be run: this, and the connections.
    var services: [any Service] {
        [primary] + members.flatMap { [$0.pool, $0.connection] } + [self]
    }

    /// The place of the standby whose turn it is; nil while none is fit to be asked.
    func choose(now: Instant = .now) -> Int? {
        state.withLock { state in
            let count = state.standbys.count
            let turns = stride(from: 1, through: count, by: 1).map { (state.last + $0) % count }
            guard let next = turns.first(where: { state.standbys[$0].trouble(at: now) == nil })
            else { return nil }
            state.last = next
            return next
        }
    }

    /// Whether a standby that was chosen is fit to be asked still.
    func isFit(_ place: Int, now: Instant) -> Bool {
        state.withLock { $0.standbys[place].trouble(at: now) == nil }
    }

    func pageServed(by place: Int) {
        state.withLock { $0.standbys[place].pageServed() }
    }

    func pageFailed(at place: Int, _ error: PostgresError) {
        let jitter = Double.random(in: 0...1)
        state.withLock { $0.standbys[place].pageFailed(at: .now, jitter: jitter) }
        logger.debug(
            "a standby failed to serve a page",
            metadata: .fields([.replica: "\(members[place].name)", .error: "\(error)"]))
        tell()
    }

    /// What the primary has shown.
    struct PrimaryLook: Sendable {
        let reading: ServerReading
        /// A time before it was asked.
        let asked: Instant
    }

    /// Looks until graceful shutdown: at the primary, and then at each standby by itself. One that
    /// hangs holds up no look at another.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let looks = self.members.indices.map { place in
                    // One that is looked at still has the newest when that is over.
                    let (primaries, look) = AsyncStream.makeStream(
                        of: PrimaryLook.self, bufferingPolicy: .bufferingNewest(1))
                    group.addTask {
                        for await primary in primaries { await self.look(at: place, primary) }
                    }
                    return look
                }
                while !Task.isCancelled {
                    if let primary = await self.lookAtPrimary() {
                        for look in looks { look.yield(primary) }
                    }
                    // Standbys signal nothing.
                    try? await Task.sleep(for: Self.interval)
                }
                for look in looks { look.finish() }
            }
        }
    }

    /// - Returns: nil while the primary is away: what is known of standbys becomes too old to be
    ///   believed.
    func lookAtPrimary() async -> PrimaryLook? {
        let asked = Instant.now
        let reading = try? await Self.read(primary)
        if reading == nil, !Task.isCancelled { tell() }
        return reading.map { PrimaryLook(reading: $0, asked: asked) }
    }

    /// Looks at a standby.
    func look(at place: Int, _ primary: PrimaryLook) async {
        let connection = members[place].connection
        do {
            let reading = try await Self.read(connection)
            state.withLock {
                $0.standbys[place].looked(
                    reading, beside: primary.reading, asked: primary.asked)
            }
        } catch {
            guard !Task.isCancelled else { return }
            let reason = connection.failure.map { "\($0)" } ?? "\(error)"
            state.withLock { $0.standbys[place].lookFailed(reason, asked: primary.asked) }
        }
        if !Task.isCancelled { tell() }
    }

    private static func read(_ pool: PostgresPool) async throws -> ServerReading {
        let deadline = Instant.now + lookLimit
        return try await pool.withConnection(deadline: deadline) {
            try await $0.run(DownloadStatements.ReadServer(), deadline: deadline).one()
        }
    }

    /// Tells the log of each standby that serves pages from now on, or no more.
    private func tell() {
        let news = state.withLock { state in
            let now = Instant.now
            return members.indices.compactMap { place -> (String, StandbyTrouble?)? in
                let trouble = state.standbys[place].trouble(at: now)
                guard trouble != state.told[place] else { return nil }
                state.told[place] = trouble
                return (members[place].name, trouble)
            }
        }
        for (name, trouble) in news {
            guard let trouble else {
                logger.info("a standby serves pages", metadata: .fields([.replica: "\(name)"]))
                continue
            }
            logger.warning(
                "a standby serves no pages; the primary does",
                metadata: .fields([.replica: "\(name)", .reason: "\(trouble)"]))
        }
    }

    // MARK: - For operators

    /// Each standby, whether it serves, and how far it is behind.
    var known: [(name: String, trouble: StandbyTrouble?, lag: ReplayLag)] {
        state.withLock { state in
            let now = Instant.now
            return zip(members, state.standbys).map { ($0.name, $1.trouble(at: now), $1.lag) }
        }
    }

    /// A line for each, for `/ready`.
    var details: [String] {
        known.map { name, trouble, lag in
            if let trouble { return "standby \(name) \(trouble)" }
            return "standby \(name) serves pages, "
                + "\(lag.time.wholeMilliseconds) ms (\(lag.bytes) bytes) behind"
        }
    }

    func report(to metrics: MetricsRegistry) {
        func gauge(
            _ name: String, _ help: String,
            _ value: @escaping @Sendable (StandbyTrouble?, ReplayLag) -> Double
        ) {
            metrics.gauge(name, help, labels: ["standby"]) { [weak self] in
                (self?.known ?? []).map { (["standby": $0.name], value($0.trouble, $0.lag)) }
            }
        }
        gauge(
            "oversync_download_standby_usable", "1 for a standby that serves pages, else 0"
        ) { trouble, _ in trouble == nil ? 1 : 0 }
        gauge(
            "oversync_download_standby_lag_seconds",
            "How far a standby was behind at the last look, in steps of half a second"
        ) { _, lag in lag.time / .seconds(1) }
        gauge(
            "oversync_download_standby_lag_bytes",
            "Bytes of the write-ahead log that a standby had not replayed at the last look"
        ) { _, lag in Double(lag.bytes) }
    }
}
