import DatabaseKit
import Model
import Postgres
import RPC
import ServiceKit
import Waiting

/// In front of the pool: a digest reads all rows of a user's, so few are made at once, and one of a
/// user's at a time. Pages, which more devices wait for, keep most of the pool.
struct DigestTurns: Sendable {
    /// Digests of all users that are made at once.
    private static let turns = 2
    /// Digests that wait: of all users, and of one.
    private static let maximumWaiting = 512
    private static let waitingPerUser = 16

    private let gate = FairGate<Void, Page>(
        FairQueue.Limits(
            turns: turns, turnsPerUser: 1, waiting: maximumWaiting,
            waitingPerUser: waitingPerUser))
    /// How long a turn is waited for.
    private let patience: Duration

    init(_ configuration: Configuration) throws(ConfigurationError) {
        patience = .milliseconds(
            try configuration.value(DatabaseSettings.download.acquireTimeout))
    }

    /// Waits for a turn of the user's.
    ///
    /// - Throws: what `read` throws; `RPCFailure` and `PostgresError` if its turn does not come.
    func read(
        of user: UserID, deadline: ContinuousClock.Instant, _ read: () async throws -> Page
    ) async throws -> Page {
        do {
            return try await gate.submit((), of: user, by: min(deadline, .now + patience)) {
                try await read()
            }
        } catch let refusal as TurnRefusal {
            switch refusal {
            case .userIsFull:
                throw RPCFailure(
                    .resourceExhausted, code: "too_many_waiting",
                    message: "\(Self.waitingPerUser) digests of this user wait already; "
                        + "send the request again when they are answered",
                    retryAfter: .seconds(1))
            case .full, .late: throw PostgresError(.poolExhausted)
            case .cancelled: throw RPCFailure.cancelled
            }
        }
    }
}
