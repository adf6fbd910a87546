import Waiting

/// Why a standby is not asked.
enum StandbyTrouble: Hashable, Sendable {
    /// Nobody has looked at it lately, or at the primary.
    case unknown
    case unreachable(String)
    /// `OVERSYNC_DATABASE_URL` leads to a standby itself.
    case noPrimary
    /// It takes writes: it was promoted, or never was a standby.
    case noStandby
    case otherCluster
    case otherDatabase
    case otherTimeline
    case otherEpoch
    case behind
    /// Its last page failed.
    case failing
}

extension StandbyTrouble: CustomStringConvertible {
    var description: String {
        switch self {
        case .unknown: "has not been looked at lately, or the primary has not"
        case .unreachable(let reason): "cannot be asked: \(reason)"
        case .noPrimary: "has no primary: OVERSYNC_DATABASE_URL leads to a standby"
        case .noStandby: "is not in recovery: it was promoted, or is no standby"
        case .otherCluster: "is of another cluster than OVERSYNC_DATABASE_URL"
        case .otherDatabase: "is another database than OVERSYNC_DATABASE_URL"
        case .otherTimeline: "follows another timeline than the primary's"
        case .otherEpoch: "has another epoch than the primary"
        case .behind: "is more than \(StandbyState.longestLag.components.seconds) s behind"
        case .failing: "failed to serve a page, and is left alone for a while"
        }
    }
}

/// What is known of one standby, and whether it may be asked for a page. Decides from memory, so
/// that a standby that is away costs requests nothing. A value without a clock.
struct StandbyState: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// What a look has shown is not believed for longer.
    static let freshness: Duration = .seconds(2)
    /// A standby further behind is not asked: it would lack too much of what readers are owed.
    static let longestLag: Duration = .seconds(10)
    /// After pages that failed, though a look at it succeeds.
    private static let pauses = Backoff(
        first: .milliseconds(500), longest: .seconds(30), steadyShare: 0.5)

    private var found: StandbyTrouble? = .unknown
    private var lookedAt: Instant?
    private var backoff = pauses
    private var pausedUntil: Instant?
    private(set) var lag = ReplayLag()
    private let lagLimit: Duration

    /// - Parameter lagLimit: further behind it is not asked.
    init(lagLimit: Duration = longestLag) {
        self.lagLimit = lagLimit
    }

    /// Why it is not asked now; nil: it is.
    func trouble(at now: Instant) -> StandbyTrouble? {
        guard let lookedAt, now - lookedAt <= Self.freshness else {
            if case .unreachable = found { return found }
            return .unknown
        }
        if let found { return found }
        if lag.time > lagLimit { return .behind }
        if let pausedUntil, now < pausedUntil { return .failing }
        return nil
    }

    /// A look at the primary, and one at the standby after it, have succeeded.
    ///
    /// - Parameter asked: a time before both.
    mutating func looked(_ standby: ServerReading, beside primary: ServerReading, asked: Instant) {
        lookedAt = asked
        found = Self.difference(standby, primary)
        guard found == nil else {
            lag = ReplayLag()
            return
        }
        lag.record(primary: primary.position, standby: standby.position, at: asked)
    }

    /// A look at it has failed.
    mutating func lookFailed(_ reason: String, asked: Instant) {
        lookedAt = asked
        found = .unreachable(reason)
    }

    mutating func pageServed() {
        backoff.reset()
        pausedUntil = nil
    }

    /// - Parameter jitter: from 0 to 1.
    mutating func pageFailed(at now: Instant, jitter: Double) {
        // Of many pages that fail together, one counts.
        if let pausedUntil, now < pausedUntil { return }
        pausedUntil = now + backoff.fail(jitter: jitter)
    }

    /// What makes it another database than the primary's, now or as far as can be seen.
    private static func difference(
        _ standby: ServerReading, _ primary: ServerReading
    ) -> StandbyTrouble? {
        if primary.isStandby { return .noPrimary }
        if standby.cluster != primary.cluster { return .otherCluster }
        if standby.database != primary.database { return .otherDatabase }
        if !standby.isStandby { return .noStandby }
        if standby.timeline != primary.timeline { return .otherTimeline }
        return standby.epoch == primary.epoch ? nil : .otherEpoch
    }
}
