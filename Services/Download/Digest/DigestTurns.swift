import Model
import Postgres
import RPC
import ServiceKit
import Waiting

/// In front of the pool: a digest reads all rows of a user's, so few are made at once, and one of a
/// user's at a time. Pages, which more devices wait for, keep most of the pool.
///
/// A digest waits for its turn as long as its request may last: two users with slow digests would
/// shut all others out if it were less than such a digest takes.
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

    /// Waits for a turn of the user's.
    ///
    /// - Throws: what `read` throws; `RPCFailure` and `PostgresError` if its turn does not come.
    func read(
        of user: UserID, deadline: ContinuousClock.Instant, _ read: () async throws -> Page
    ) async throws -> Page {
        do {
            return try await gate.submit((), of: user, by: deadline) {
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
