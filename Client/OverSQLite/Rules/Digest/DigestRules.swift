import Digests

/// The number of live rows of a table, or of a part of it, and the sum of their terms.
struct DigestTotal: Hashable, Sendable {
    var live = 0
    var sum: Int64 = 0
    /// The rows whose terms are not known, which the sum lacks.
    var unknown = 0

    mutating func add(_ term: Int64?) {
        live += 1
        if let term { sum = RowTerm.add(sum, term) } else { unknown += 1 }
    }

    /// Whether this device's rows are proven to be the server's.
    func equals(_ server: DigestTotal) -> Bool {
        unknown == 0 && live == server.live && sum == server.sum
    }
}

/// A live row, as one side knows it.
struct KnownTerm: Hashable, Sendable {
    let version: Int64
    /// Nil on this device: not known. On the server: a row that devices cannot be sent.
    let term: Int64?
}

/// Decides what a row's two terms mean, once both sides know the same history.
enum DigestRules {
    enum Finding: Hashable {
        case same
        /// The versions are the same, and this device does not know its term: it takes the
        /// server's.
        case learn(Int64)
        case differs
    }

    /// The seconds between two comparisons that nobody asked for.
    static let interval = 86_400.0
    /// The seconds before one that the log has outgrown is tried again.
    static let movedInterval = 900.0
    /// The seconds before one that failed is tried again.
    static let retryInterval = 21_600.0

    /// - Parameters:
    ///   - here: nil if this device has no such row.
    ///   - there: nil if the server has none.
    ///   - isInDoubt: whether a change of the row was sent and not answered, so that the server may
    ///     have more than this device received; or the server has lost the row, and it is to be
    ///     sent again.
    static func compare(_ here: KnownTerm?, _ there: KnownTerm?, isInDoubt: Bool) -> Finding {
        if isInDoubt { return .same }
        // It is left out of pages, too.
        if let there, there.term == nil { return .same }
        guard let here, let there, here.version == there.version, let term = there.term else {
            return here == nil && there == nil ? .same : .differs
        }
        guard let own = here.term else { return .learn(term) }
        return own == term ? .same : .differs
    }

    /// Whether both sides stand at the same place of the same history, so that their sums are
    /// comparable: the device has applied all that was summed, and knows of nothing newer.
    static func isComparable(_ state: DeviceState, head: Int64, _ history: HistoryPair?) -> Bool {
        state.isHydrated && state.reread == nil && state.resumeAt == 0 && state.window == 0
            && state.cursor == head
            && state.history == history && history?.sequence ?? 0 == head
    }

    /// When the next comparison is due after `seconds`, told as the time of the last one.
    static func last(now: Double, dueAfter seconds: Double) -> Double { now - interval + seconds }

    /// Whether the next comparison is due. A clock that was set back makes it due, too.
    static func isDue(last: Double, now: Double) -> Bool { abs(now - last) >= interval }
}
