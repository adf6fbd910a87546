import HTTPTypes
import Model
import Waiting

/// The bytes that the gateway holds for one request: its body, then its answer until the client has
/// taken it.
///
/// Whoever holds the request's admission holds them too, which is until the last byte has left.
final class HeldBytes: Sendable {
    /// Seconds after which a share, or the total, has room again: clients read on, and those that
    /// do not are ended (`StalledReaderLimit`).
    private static let retryAfter = 5
    /// Bytes of a page for each row that it may have, until it is there: a guess, which is right
    /// about what devices sync most, and keeps hundreds of small polls of one user within its
    /// share.
    static let bytesPerRow = 256

    private let budget: ByteBudget
    private let reservation: ByteBudget.Reservation

    init(_ budget: ByteBudget, of user: String) {
        self.budget = budget
        reservation = budget.open(for: user)
    }

    /// Holds this many bytes from now on, in place of those before.
    ///
    /// - Parameter leavesRoom: refuses unless the largest answer would fit too, so that no service
    ///   is asked for what could not be held.
    /// - Throws: `WireError` 429 when they exceed what the user may have, 503 when they exceed what
    ///   all together may; then as many are held as before.
    func hold(_ bytes: Int, leavesRoom: Bool = false) throws(WireError) {
        do throws(ByteBudget.Excess) {
            try reservation.hold(bytes, room: leavesRoom ? Self.room(in: budget) : 0)
        } catch {
            throw refusal(error)
        }
    }

    /// The same for an answer that is there in any case.
    func holdAnyway(_ bytes: Int) { reservation.holdAnyway(bytes) }

    /// Bytes of the largest answer, unless the user's share is so small that it holds no two.
    private static func room(in budget: ByteBudget) -> Int {
        min(WireLimits.payloadBytesPerAnswer, budget.share / 2)
    }

    private func refusal(_ excess: ByteBudget.Excess) -> WireError {
        switch excess {
        case .share:
            WireError(
                status: .tooManyRequests, code: "share_used_up",
                message: "This user's requests and unread answers take up its share of the "
                    + "gateway's memory, \(budget.share) bytes; read the answers that are open, "
                    + "or send less at once, and repeat this request",
                retryAfter: Self.retryAfter)
        case .total:
            WireError(
                status: .serviceUnavailable, code: "overloaded",
                message: "All requests and unread answers together take up the gateway's memory "
                    + "for them, \(budget.total) bytes; repeat this request later",
                retryAfter: Self.retryAfter)
        }
    }
}
