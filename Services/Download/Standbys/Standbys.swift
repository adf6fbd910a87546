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
    /// it stays below ``StandbyState/freshness``.
    static let lookLimit: Duration = .milliseconds(600)

    /// One standby.
    struct Member: Sendable {
        let name: String
        let pool: PostgresPool
        /// Looks at it.
        let connection: PostgresPool

        init(name: String, pool: PostgresPool, connection: PostgresPool) {
            (self.name, self.pool, self.connection) = (name, pool, connection)
        }

        init(_ database: StandbyDatabase) {
            self.init(
                name: database.name, pool: database.pool, connection: database.connection)
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

    /// Looks until graceful shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.look()
                // Standbys signal nothing.
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    /// Looks at the primary, and then at all standbys.
    func look() async {
        let asked = Instant.now
        // While the primary is away, what is known of standbys becomes too old to be believed.
        if let known = try? await Self.read(primary) {
            await withDiscardingTaskGroup { group in
                for (place, member) in members.enumerated() {
                    group.addTask { await self.look(at: place, member, beside: known, asked) }
                }
            }
        }
        if !Task.isCancelled { tell() }
    }

    private func look(
        at place: Int, _ member: Member, beside primary: ServerReading, _ asked: Instant
    ) async {
        do {
            let reading = try await Self.read(member.connection)
            state.withLock {
                $0.standbys[place].looked(reading, beside: primary, asked: asked)
            }
        } catch {
            guard !Task.isCancelled else { return }
            let reason = member.connection.failure.map { "\($0)" } ?? "\(error)"
            state.withLock { $0.standbys[place].lookFailed(reason, asked: asked) }
        }
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
            metrics.gauge(name, help) { [weak self] in
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
