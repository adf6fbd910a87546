import LogFields
import Logging
import Synchronization
import Telemetry

/// Why a token does not get in.
struct TokenRejection: Error, Hashable {
    /// The label of a metric.
    enum Cause: String, CaseIterable, Sendable {
        /// There is no token.
        case missing
        case malformed
        /// Its algorithm is not one that its issuer may use.
        case algorithm
        case unknownKey = "unknown_key"
        case signature
        case expired
        /// Its `nbf` or `iat` lies in the future.
        case early
        case issuer
        case audience
        case lifetime
        /// Its user, device or roles.
        case claims
    }

    let cause: Cause
    /// For the client.
    let message: String

    init(_ cause: Cause, _ message: String = "Invalid token") {
        self.cause = cause
        self.message = message
    }
}

/// What this release lets pass, and the next one will not: see `OVERSYNC_JWT_STRICT`.
enum TokenLeniency: String, CaseIterable, Sendable {
    /// A token of Auth without `iss`.
    case noIssuer = "no_issuer"
    /// The same without `aud`.
    case noAudience = "no_audience"
    /// A token that is good for longer than a day.
    case lifetime

    var warning: String {
        switch self {
        case .noIssuer: "a token of Auth without iss was taken"
        case .noAudience: "a token of Auth without aud was taken"
        case .lifetime:
            "a token that is good for longer than \(TokenRules.standardLifetimeSeconds) s was taken"
        }
    }
}

/// Counts tokens that were rejected, and those that a later release would reject.
final class TokenObserver: Sendable {
    /// Between two lines about the same leniency.
    private static let silence: Duration = .seconds(3600)

    private let rejected: Counter
    private let lenient: Counter
    private let logger: Logger
    private let said = Mutex<[TokenLeniency: ContinuousClock.Instant]>([:])

    init(_ registry: MetricsRegistry, logger: Logger) {
        self.logger = logger
        rejected = registry.counter(
            "oversync_gateway_rejected_tokens_total",
            "Tokens that were rejected, by cause and issuer", labels: ["cause", "issuer"])
        lenient = registry.counter(
            "oversync_gateway_lenient_tokens_total",
            "Verified tokens that OVERSYNC_JWT_STRICT would reject, by reason",
            labels: ["reason", "issuer"])
    }

    /// - Parameter issuer: the name of a configured one, `auth`, `hs256`, or `none` where the token
    ///   does not tell.
    func count(_ cause: TokenRejection.Cause, issuer: String) {
        rejected.add(1, ["cause": cause.rawValue, "issuer": issuer])
    }

    func count(_ leniency: TokenLeniency, issuer: String) {
        lenient.add(1, ["reason": leniency.rawValue, "issuer": issuer])
        let speaks = said.withLock { said in
            if let last = said[leniency], .now - last < Self.silence { return false }
            said[leniency] = .now
            return true
        }
        guard speaks else { return }
        let end = "the next release will reject it, as OVERSYNC_JWT_STRICT=true does now"
        logger.warning(
            "\(leniency.warning); \(end)",
            metadata: .fields([.setting: "OVERSYNC_JWT_STRICT"]))
    }
}
