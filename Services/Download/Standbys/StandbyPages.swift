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

    /// Longest time of a page on a standby, also of the wait for a turn there. At most half of what
    /// the request has left, so that the primary has as much.
    private static let pageLimit: Duration = .seconds(3)
    private static let turnLimit: Duration = .seconds(1)
    /// Pages of all users that wait.
    private static let maximumWaiting = 4096

    private let standbys: Standbys
    private let readers: [PageReader]
    private let primary: PageReader
    private let heads: ScopeHeads
    private let gate: FairGate<PageRequest, Page>
    private let metrics: StandbyMetrics

    /// - Parameters:
    ///   - connections: of the pools of all standbys.
    ///   - primary: reads pages there; the standbys' share its catalog and its scopes.
    init(
        _ standbys: Standbys, connections: Int, primary: PageReader, heads: ScopeHeads,
        _ configuration: Configuration, metrics: StandbyMetrics
    ) throws(ConfigurationError) {
        self.standbys = standbys
        self.primary = primary
        self.heads = heads
        self.metrics = metrics
        readers = standbys.members.map {
            PageReader(pool: $0.pool, source: primary.source, scopes: primary.scopes)
        }
        gate = FairGate(
            FairQueue.Limits(
                turns: connections,
                turnsPerUser: try configuration.value(PageTurns.perUserSetting),
                waiting: Self.maximumWaiting,
                waitingPerUser: try configuration.value(PageTurns.waitingSetting)))
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
        /// The standby failed, or refused.
        case failed
    }

    /// The page; nil if the primary is to answer.
    ///
    /// - Throws: what the primary answers when it is asked for the user's state.
    func read(_ request: PageRequest, deadline: Instant) async throws -> Page? {
        guard let place = standbys.choose() else {
            metrics.count(.noStandby)
            return nil
        }
        do {
            let page = try await gate.submit(
                request, of: request.user, by: min(deadline, .now + Self.turnLimit)
            ) { request in
                let state = try await state(for: request, deadline)
                guard let proof = StandbyProof(request, state) else { throw Reason.primaryOnly }
                return try await readPage(request.served(by: proof), at: place, deadline)
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

    /// The user's log as the primary has it. Access is the primary's word as well: memory follows
    /// its devices that are revoked.
    private func state(for request: PageRequest, _ deadline: Instant) async throws -> ScopeState {
        if let known = heads.known(request.user, for: request.device),
            StandbyProof.mayRemember(request, known)
        {
            return known
        }
        metrics.countCheck()
        let asked = Instant.now
        let reading = try await primary.readScope(
            request.user, request.device, tellsHistory: true, deadline: deadline)
        heads.learn(reading.state, of: request.user, asked: asked)
        return reading.state
    }

    private func readPage(
        _ request: PageRequest, at place: Int, _ deadline: Instant
    ) async throws(Reason) -> Page {
        let now = Instant.now
        let limit = min(now + Self.pageLimit, now + (deadline - now) / 2)
        do {
            let page = try await readers[place].read(request, deadline: limit)
            standbys.pageServed(by: place)
            return page
        } catch is StandbyProof.Missing {
            throw .behind
        } catch let error as PostgresError {
            if error.kind == .poolExhausted { throw .busy }
            if error.kind != .cancelled { standbys.pageFailed(at: place, error) }
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
            "Pages read from standbys, and those left to the primary, by reason")
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
