import Protos

/// The calls of one connection, as its server sees them. Decides; performs nothing.
///
/// A call is here from its CALL frame until its handler has returned, also when nobody waits for
/// the answer any more: work that goes on counts, against the limit and in a drain.
struct ServerCalls {
    /// What a call that was admitted needs in order to end.
    struct Call: Hashable {
        var deadline: ContinuousClock.Instant
        /// Parts that may be sent before the reader asks for more.
        var credit: UInt64
        /// Cancelled: its handler may still run, but has no voice.
        var isAbandoned = false
    }

    /// What to do about a part that a handler wants to send.
    enum PartDecision: Hashable {
        case send, wait, stop
    }

    private(set) var calls: [UInt32: Call] = [:]
    /// No deadline is before it: thousands of calls that wait for long are not looked at in every sweep.
    private var earliestDeadline: ContinuousClock.Instant?
    /// The peer closed the connection: whatever is left is abandoned.
    private(set) var isPeerGone = false
    /// When the client was asked for no more calls.
    private var goAwayAt: ContinuousClock.Instant?

    var isEmpty: Bool { calls.isEmpty }
    var hasSaidGoAway: Bool { goAwayAt != nil }

    /// The client is asked for no more calls.
    mutating func goAway(now: ContinuousClock.Instant) {
        goAwayAt = goAwayAt ?? now
    }

    /// Whether a call that comes now is served: one that crossed the GO_AWAY is. A client that goes on calling for
    /// longer would keep the process from its end.
    func isWelcome(now: ContinuousClock.Instant, crossing: Duration) -> Bool {
        goAwayAt.map { now < $0 + crossing } ?? true
    }

    /// A call begins.
    ///
    /// - Returns: false when the id is in use, which no sane client does.
    mutating func begin(
        _ id: UInt32, deadline: ContinuousClock.Instant, credit: UInt32
    ) -> Bool {
        guard calls[id] == nil, !isPeerGone else { return false }
        calls[id] = Call(deadline: deadline, credit: UInt64(credit))
        earliestDeadline = min(earliestDeadline ?? deadline, deadline)
        return true
    }

    /// The handler of a call has returned.
    ///
    /// - Returns: whether its outcome is to be sent.
    mutating func finish(_ id: UInt32) -> Bool {
        guard let call = calls.removeValue(forKey: id) else { return false }
        return !call.isAbandoned
    }

    /// The client cancelled a call.
    ///
    /// - Returns: whether its handler is to be cancelled. False for a call that is over already:
    ///   the frames crossed.
    mutating func cancel(_ id: UInt32) -> Bool {
        guard calls[id]?.isAbandoned == false else { return false }
        calls[id]?.isAbandoned = true
        return true
    }

    /// The calls whose time is up, which are to be cancelled.
    mutating func expire(now: ContinuousClock.Instant) -> [UInt32] {
        guard let earliestDeadline, earliestDeadline <= now else { return [] }
        let expired = calls.filter { !$0.value.isAbandoned && $0.value.deadline <= now }.map(\.key)
        for id in expired { calls[id]?.isAbandoned = true }
        self.earliestDeadline = calls.values.filter { !$0.isAbandoned }.map(\.deadline).min()
        return expired.sorted()
    }

    /// The connection ended.
    ///
    /// - Returns: the calls whose handlers are to be cancelled.
    mutating func peerGone() -> [UInt32] {
        isPeerGone = true
        return abandonAll()
    }

    /// The drain took too long.
    ///
    /// - Returns: the calls whose handlers are to be cancelled.
    mutating func abandonAll() -> [UInt32] {
        let open = calls.filter { !$0.value.isAbandoned }.map(\.key)
        for id in open { calls[id]?.isAbandoned = true }
        return open.sorted()
    }

    /// The reader of a stream wants more parts.
    mutating func addCredit(_ id: UInt32, _ parts: UInt32) {
        calls[id]?.credit += UInt64(parts)
    }

    /// A handler wants to send a part; `.send` takes one from its credit.
    mutating func sendPart(_ id: UInt32, isWritable: Bool) -> PartDecision {
        guard let call = calls[id], !call.isAbandoned else { return .stop }
        guard call.credit > 0, isWritable else { return .wait }
        calls[id]?.credit -= 1
        return .send
    }
}
