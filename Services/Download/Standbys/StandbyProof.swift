import Model
import Sidecar

/// Whether a page may come from a standby: decided here alone, from what the primary says of the
/// user's log, and then from what the standby shows in the snapshot of the page.
///
/// A standby that holds the primary's last change has everything before it, as one tagged change
/// proves (decision 15). So a page that ends there equals the primary's. It does not matter how far
/// the standby lags or leads otherwise, nor which history it turns out to follow.
struct StandbyProof: Hashable, Sendable {
    /// The log as the primary has it: from memory, or asked for.
    let primary: ScopeState
    /// Its last change.
    let end: HistoryPair
    /// The end of the page's window.
    let window: Sequence64

    /// A standby does not show what was to be proven.
    struct Missing: Error {}

    /// What a standby has to prove to serve a request; nil: the primary must answer.
    ///
    /// - Parameter primary: what the primary says of the user's log. Access is checked with it.
    init?(_ request: PageRequest, _ primary: ScopeState) {
        // Without a tag nothing can be proven.
        guard let end = primary.end else { return nil }
        // Verdicts are the primary's: on epochs, cursors beyond the end or below the floor, forks.
        guard request.epoch == nil || request.epoch == primary.epoch,
            request.after < end.sequence, request.pair?.sequence ?? 0 <= end.sequence,
            !request.cursor.isBelowFloor(of: primary)
        else { return nil }
        let window = request.window(of: primary)
        // Empty pages are cheap, and their cursors may be odd.
        guard request.after < window else { return nil }
        // The page names the change at its window's end, whose tag it must read anyway.
        guard
            !request.tellsHistory || window == end.sequence || window == request.pair?.sequence
        else { return nil }
        (self.primary, self.end, self.window) = (primary, end, window)
    }

    /// Whether what is known of a log without asking the primary is enough. Of a device without a
    /// pair nobody knows which of its uploads were acknowledged elsewhere.
    static func mayRemember(_ request: PageRequest, _ known: ScopeState) -> Bool {
        guard !request.isFresh, let pair = request.pair, known.end != nil else { return false }
        return pair.sequence <= known.head && request.until ?? 0 <= known.head
    }

    /// What the standby's snapshot says, if it proves what it has to.
    ///
    /// - Throws: ``Missing``.
    func check(
        _ reading: ScopeReading, _ history: LogHistory, _ request: PageRequest
    ) throws(Missing) -> ScopeReading {
        guard history.isStandby, reading.state.epoch == primary.epoch,
            history.pair(at: end.sequence) == end
        else { throw Missing() }
        if let pair = request.pair, history.end.judge(pair, found: history.told) != .same {
            throw Missing()
        }
        // A log that was compacted further here lacks deletes that the cursor has not met; one that
        // begins at 0 is put on record with the primary's floor.
        guard
            request.after == 0
                ? reading.state.floor == primary.floor
                : !request.cursor.isBelowFloor(of: reading.state)
        else { throw Missing() }
        var proven = reading
        proven.windowEnd = history.pair(at: request.window(of: reading.state))
        if request.tellsHistory, proven.windowEnd == nil { throw Missing() }
        return proven
    }
}
