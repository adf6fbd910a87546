import Model
import Sidecar

/// What a reader must know of a user's log before it reads any of it.
struct ScopeState: Hashable, Sendable {
    /// The identity of the database's history.
    var epoch: String
    /// The user's last sequence; 0 for a user who has none.
    var head: Sequence64
    /// Cursors between 0 and this one miss deletes that were compacted away.
    var floor: Sequence64
    /// Of the last change; nil where it is not known, and where there is none.
    var tag: UInt64?

    /// The last change; nil where its tag is not known, and where there is none.
    var end: HistoryPair? {
        head > 0 ? tag.map { HistoryPair(sequence: head, tag: $0) } : nil
    }
}

/// A reading of the database on behalf of one device.
struct ScopeReading: Hashable, Sendable {
    let state: ScopeState
    /// The floor at which the device began to read at 0. While it is still there, cursors below it are those
    /// of a device that misses nothing. Nil: it did not begin lately, or this was not asked.
    let hydratedFrom: Sequence64?
    /// What the database says about the pair that the device sent; nil where it sent none.
    var history: HistoryFinding?
    /// The change at the end of the device's window; nil where its tag is not known.
    var windowEnd: HistoryPair?
    /// Whether a standby answered, which may lag. False for what memory answers.
    var isOfStandby = false
    /// The last change of the newest atomic upload; 0 if there was none, or this was not asked.
    var atomicEnd: Sequence64 = 0
}
