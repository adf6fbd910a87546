import HTTPTypes
import Model
import ServiceKit
import Synchronization
import Waiting

/// The bytes that the gateway holds for one request: its body, then its answer until the client has
/// taken it.
///
/// The request's admission keeps them, so they are held until the last byte is sent.
final class HeldBytes: Sendable {
    /// Seconds after which a share, or the total, has room again: clients read on, and those that
    /// do not are ended (`StalledReaderLimit`).
    private static let retryAfter = 5
    /// Bytes of a page for each row that it may have, until it is there: a guess, which is right
    /// about what devices sync most, and keeps hundreds of small polls of one user within its
    /// share.
    static let bytesPerRow = 256
    /// A body or an answer of so few bytes is not counted: the request itself takes more, and how
    /// many of those there are is limited elsewhere.
    static let uncountedBytes = 1024

    private let budget: ByteBudget
    private let reservation: ByteBudget.Reservation
    private let answered = Atomic(0)

    init(_ budget: ByteBudget, of user: UserID) {
        self.budget = budget
        reservation = budget.open(for: user)
    }

    /// Bytes of the answer as a service gave it, before it was compressed or left out.
    var answeredBytes: Int { answered.load(ordering: .relaxed) }

    /// Records the size of a service's answer, in bytes, before compression.
    func answer(_ bytes: Int) { answered.store(bytes, ordering: .relaxed) }

    /// Holds this many bytes from now on, in place of those before.
    ///
    /// - Parameters:
    ///   - expected: the final size in bytes; throws if that does not fit now.
    ///   - leavesRoom: refuses unless the largest answer would fit too, so that no service is asked
    ///     for what could not be held.
    /// - Throws: `WireError` 429 when they exceed what the user may have, 503 when they exceed what
    ///   all together may; then as many are held as before.
    func hold(_ bytes: Int, expected: Int = 0, leavesRoom: Bool = false) throws(WireError) {
        do throws(ByteBudget.Excess) {
            try reservation.hold(
                Self.counted(bytes), expected: Self.counted(expected),
                room: leavesRoom ? Self.room(in: budget) : 0)
        } catch {
            throw refusal(error)
        }
    }

    /// The same for an answer that is there in any case.
    func holdAnyway(_ bytes: Int) { reservation.holdAnyway(Self.counted(bytes)) }

    private static func counted(_ bytes: Int) -> Int { bytes > uncountedBytes ? bytes : 0 }

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
                    + "gateway's memory, \(budget.share) bytes or what others leave of it; read "
                    + "the answers that are open, or send less at once, and repeat this request",
                retryAfter: Self.retryAfter)
        case .total:
            WireError(
                status: .serviceUnavailable, code: "overloaded",
                message: "All requests and unread answers together leave too little of the "
                    + "gateway's memory for them, \(budget.total) bytes; repeat this request later",
                retryAfter: Self.retryAfter)
        }
    }
}

extension HeldBytes {
    /// Contradicting settings: the largest body does not fit together with what other devices of
    /// its user hold.
    ///
    /// - Parameters: bytes of the largest body, of one user's share, and of the total.
    static func warnings(body: Int, share: Int, total: Int) -> [String] {
        let key = GatewaySettings.bodySetting.key
        func warning(_ setting: String, _ bytes: Int, _ most: Int, _ needed: Int) -> String {
            "\(setting) is \(bytes), and \(key) is \(body): a body of more than \(most) bytes is "
                + "refused (429) for as long as other devices of its user are busy; set "
                + "\(setting) to \(needed) or more, or \(key) to \(most) or less"
        }
        var warnings: [String] = []
        if share < body {
            warnings.append(warning(LimitSettings.userBufferSetting.key, share, share, body))
        }
        // What one user may have of an empty total.
        if total / ByteBudget.part < body {
            warnings.append(
                warning(
                    LimitSettings.bufferSetting.key, total, total / ByteBudget.part,
                    body * ByteBudget.part))
        }
        return warnings
    }
}
