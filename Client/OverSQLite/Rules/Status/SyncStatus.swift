import Foundation

/// What sync is doing, for people to look at.
public struct SyncStatus: Sendable, Hashable {
    /// What the engine is doing.
    public enum State: Sendable, Hashable {
        /// The loops do not run; calls such as `syncChanges()` still work.
        case stopped
        /// Everything known has been exchanged.
        case idle
        /// An upload is under way, or being made.
        case sending
        /// The feed is being read.
        case fetching
        /// Paused by the app.
        case paused
        /// The last attempt failed; the next is due at the time given.
        case waiting(until: Date)
        /// Nothing will happen until the app acts; `lastError` says on what.
        case blocked
    }

    /// How far the reading of the feed has come.
    ///
    /// The server numbers a user's changes and tells the last number, not how many of them a device
    /// will get: some have been replaced by newer ones, some are the device's own. So the units are
    /// the numbers, which are exact, and the count of rows to come is an estimate.
    public struct Progress: Sendable, Hashable {
        /// Rows applied since this reading began; of the first sync also those from before a
        /// relaunch.
        public var appliedRows = 0
        /// How many of the feed's numbers are behind.
        public var completedUnitCount: Int64 = 0
        /// How many there are in the part being read; 0 while nothing is known.
        public var totalUnitCount: Int64 = 0
        /// Whether the device has not read the feed to its end yet.
        public var isFirstSync = false

        /// Nothing has been read, and nothing is known to be there.
        public init() {}

        /// How much has been read, from 0 to 1. It never goes back within one reading.
        public var fraction: Double {
            guard totalUnitCount > 0 else { return 0 }
            return min(1, Double(completedUnitCount) / Double(totalUnitCount))
        }

        /// About how many rows there will be in all, going by those so far; nil before the first
        /// page.
        public var estimatedRows: Int? {
            guard completedUnitCount > 0, appliedRows > 0 else { return nil }
            return max(appliedRows, Int((Double(appliedRows) / fraction).rounded()))
        }
    }

    /// What the engine is doing.
    public var state: State = .stopped
    /// Rows with edits the server has not confirmed, the rejected ones included.
    public var pendingCount = 0
    /// Rows the server, or this device, has refused to send on; `rejectedChanges` lists them.
    public var rejectedCount = 0
    /// Server rows that this database could not take yet.
    public var heldCount = 0
    /// Set while the feed is read.
    public var progress: Progress?
    /// What went wrong last; nil once things work again.
    public var lastError: SyncError?
    /// When everything was last exchanged in both directions without an error.
    public var lastSynced: Date?
    /// Whether the device has read the feed to its end at least once.
    public var hasFinishedFirstSync = false

    /// A stopped engine of which nothing else is known.
    public init() {}
}

/// A row whose edits were refused. The row itself stands on this device as the app wrote it.
public struct RejectedChange: Sendable, Hashable {
    /// The table's name in SQLite.
    public let table: String
    /// The key as it travels: a dashed lower-case UUID, or the text key.
    public let key: String
    /// The protocol's reason, such as `bad_payload`, or one of the library's: `unsendable_key`,
    /// `unsendable_value`, `resolver_failed`, `materialize_error`, `conflict`, `too_large`.
    public let reason: String
    /// For people; nil if the server said no more.
    public let message: String?
    /// When it is sent again by itself; nil if only an edit or `retry(_:)` sends it again.
    public let retryAt: Date?
}

/// Something that happened to a row and that the app may want to tell its user.
public enum SyncEvent: Sendable, Hashable {
    /// A conflict was settled; the report says how.
    case conflict(ConflictReport)
    /// A change was refused, by the server or by this device. It is told once: not again when the
    /// retries that the engine makes by itself are refused for the same reason.
    case rejected(RejectedChange)
    /// The feed was read from its start again, or, after `deviceRestored`, this device's own
    /// changes are read back.
    case reread(RereadReport)
}
