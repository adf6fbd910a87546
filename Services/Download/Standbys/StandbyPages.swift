import DatabaseKit
import Model
import Postgres
import RPC
import ServiceKit
import Telemetry
import Waiting

/// Reads pages from standbys, where ``StandbyProof`` lets them come from there. Whatever goes wrong
/// with a standby, the primary answers within the same request.
struct StandbyPages: Sendable {
    typealias Instant = ContinuousClock.Instant

    static let urls = Setting.secret(
        "OVERSYNC_DOWNLOAD_STANDBY_URLS",
        "PostgreSQL connection strings of standbys that serve pages, with spaces between them")

    /// Readings of users' states that run at once on the primary: few, as its connections are for
    /// pages there.
    private static let maximumChecks = 4
    /// Pages of all users that wait for one standby, and of those that wait for a reading.
    private static let maximumWaiting = 4096

    private let standbys: Standbys
    private let readers: [PageReader]
    private let primary: PageReader
    private let heads: ScopeHeads
    /// One for each standby: pages that one of them holds up are in nobody else's way.
    private let gates: [FairGate<PageRequest, Page>]
    /// Readings of users' states on the primary.
    private let checks: FairGate<PageRequest, ScopeReading>
    private let metrics: StandbyMetrics

    /// - Parameter primary: reads pages there; the standbys' share its catalog and its scopes.
    init(
        _ standbys: Standbys, primary: PageReader, heads: ScopeHeads,
        _ configuration: Configuration, metrics: StandbyMetrics
    ) throws(ConfigurationError) {
        self.standbys = standbys
        self.primary = primary
        self.heads = heads
        self.metrics = metrics
        readers = standbys.members.map {
            PageReader(pool: $0.pool, source: primary.source, scopes: primary.scopes)
        }
        var limits = FairQueue.Limits(
            turns: Self.maximumChecks,
            turnsPerUser: try configuration.value(PageTurns.perUserSetting),
            waiting: Self.maximumWaiting,
            waitingPerUser: try configuration.value(PageTurns.waitingSetting))
        checks = FairGate(limits)
        gates = standbys.members.map {
            limits.turns = $0.connections
            return FairGate(limits)
        }
    }

    /// Why a page was left to the primary.
    enum Reason: String, Error, CaseIterable {
        /// No standby is fit to be asked.
        case noStandby = "no_standby"
        /// Only the primary may answer such a request.
        case primaryOnly = "primary_only"
        /// The standby does not show what the reader is owed.
        case behind
        /// Too many pages wait for standbys.
        case busy
        /// The request has too little time to be answered twice.
        case noTime = "no_time"
        /// The standby failed, or refused.
        case failed
    }

    /// The page; nil if the primary is to be asked for it.
    ///
    /// - Throws: what the primary answers when it is asked for the user's state.
    func read(_ request: PageRequest, deadline: Instant) async throws -> Page? {
        let time = StandbyTime(from: .now, to: deadline)
        do {
            guard let place = standbys.choose() else { throw Reason.noStandby }
            guard time.pageEnd(at: .now) != nil else { throw Reason.noTime }
            let known = remembered(request)
            let asked = known == nil ? try await check(request, time, deadline) : nil
            guard let state = known ?? asked?.state, StandbyProof(request, state) != nil else {
                metrics.count(.primaryOnly)
                return try asked.flatMap { try primary.emptyPage(for: request, $0) }
            }
            let page = try await gates[place].submit(
                request, of: request.user, by: time.turnEnd(at: .now)
            ) { request in
                // What was remembered before the wait for the turn may hold no longer.
                guard let state = asked?.state ?? remembered(request),
                    let proof = StandbyProof(request, state)
                else { throw Reason.primaryOnly }
                return try await readPage(request.served(by: proof), at: place, time)
            }
            metrics.count(nil)
            return page
        } catch let reason as Reason {
            metrics.count(reason)
            return nil
        } catch is TurnRefusal {
            metrics.count(.busy)
            return nil
        }
    }

    /// The user's log as the primary has it, if memory is enough for this request. That the device
    /// may read is the primary's word as well.
    private func remembered(_ request: PageRequest) -> ScopeState? {
        guard let known = heads.known(request.user, for: request.device),
            StandbyProof.mayRemember(request, known)
        else { return nil }
        return known
    }

    /// Asks the primary for the state of the user's log, and whether the device may read.
    private func check(
        _ request: PageRequest, _ time: StandbyTime, _ deadline: Instant
    ) async throws -> ScopeReading {
        try await checks.submit(request, of: request.user, by: time.turnEnd(at: .now)) { request in
            metrics.countCheck()
            let asked = Instant.now
            let reading = try await primary.readScope(
                request.user, request.device, request.pair, tellsHistory: true,
                deadline: deadline)
            heads.learn(
                reading.state, of: request.user, .admits(request.device), asked: asked)
            return reading
        }
    }

    private func readPage(
        _ request: PageRequest, at place: Int, _ time: StandbyTime
    ) async throws(Reason) -> Page {
        let now = Instant.now
        guard standbys.isFit(place, now: now) else { throw .noStandby }
        guard let end = time.pageEnd(at: now) else { throw .noTime }
        do {
            let page = try await readers[place].read(request, deadline: end)
            standbys.pageServed(by: place)
            return page
        } catch is StandbyProof.Missing {
            throw .behind
        } catch let error as PostgresError {
            switch error.kind {
            case .poolExhausted: throw .busy
            case .cancelled: break
            case .deadlineExceeded where end - now < StandbyTime.fairForPage: break
            default: standbys.pageFailed(at: place, error)
            }
            throw .failed
        } catch {
            throw .failed
        }
    }
}

/// Where pages came from, as metrics.
struct StandbyMetrics: Sendable {
    private let pages: Counter
    private let checks: Counter

    init(_ registry: MetricsRegistry) {
        pages = registry.counter(
            "oversync_download_page_sources_total",
            "Pages read from standbys, and those left to the primary, by reason",
            labels: ["from", "reason"])
        checks = registry.counter(
            "oversync_download_standby_checks_total",
            "Readings of a user's state on the primary, for pages of standbys")
    }

    /// - Parameter reason: why the primary was to answer; nil: a standby did.
    func count(_ reason: StandbyPages.Reason?) {
        pages.add(
            1, reason.map { ["from": "primary", "reason": $0.rawValue] } ?? ["from": "standby"])
    }

    func countCheck() { checks.add() }
}
