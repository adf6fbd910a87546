import Foundation

/// The state of sync, for display.
public struct SyncStatus: Sendable, Hashable {
    /// What the engine is doing.
    public enum State: Sendable, Hashable {
        /// The background loop is not running. Calls such as `syncChanges()` still work.
        case stopped
        /// Everything known has been sent and fetched.
        case idle
        /// An upload is being prepared or sent.
        case sending
        /// The log is being downloaded.
        case fetching
        /// The app has paused sync.
        case paused
        /// The last attempt failed. The next one starts at the given time.
        case waiting(until: Date)
        /// The engine does nothing until the app acts; `lastError` and its `advice` say how.
        case blocked
    }

    /// How far a download has come.
    ///
    /// The units are sequences of the user's log. They are exact, but they are more than the rows
    /// to download: some changes have been replaced by newer ones, and some are the device's own.
    /// The number of rows to come is therefore an estimate.
    public struct Progress: Sendable, Hashable {
        /// Rows applied since this download began. For the first sync this includes rows applied
        /// before a relaunch.
        public var appliedRows = 0
        /// The number of sequences downloaded so far.
        public var completedUnitCount: Int64 = 0
        /// The number of sequences to download; 0 until it is known.
        public var totalUnitCount: Int64 = 0
        /// Whether this is the device's first download of the whole log.
        public var isFirstSync = false

        /// Makes a progress of zero.
        public init() {}

        /// The part that is done, from 0 to 1. It never decreases during one download.
        public var fraction: Double {
            guard totalUnitCount > 0 else { return 0 }
            return min(1, Double(completedUnitCount) / Double(totalUnitCount))
        }

        /// The estimated total number of rows, based on the rows so far; nil before the first page.
        public var estimatedRows: Int? {
            guard completedUnitCount > 0, appliedRows > 0 else { return nil }
            // A window that ends beyond reason makes more rows than a number holds.
            let estimate = Int(exactly: (Double(appliedRows) / fraction).rounded()) ?? .max
            return max(appliedRows, estimate)
        }
    }

    /// How far sending has come.
    public struct UploadProgress: Sendable, Hashable {
        /// The number of rows that the server has answered since this upload began, also by a
        /// rejection. A row that is sent twice counts twice.
        public var answeredRows = 0
        /// The number of rows to send, with those that are answered. It grows if the app edits
        /// more rows meanwhile.
        public var totalRows = 0

        /// Makes a progress of zero.
        public init() {}

        /// The part that is answered, from 0 to 1.
        public var fraction: Double {
            guard totalRows > 0 else { return 0 }
            return min(1, Double(answeredRows) / Double(totalRows))
        }
    }

    /// What the engine is doing.
    public var state: State = .stopped
    /// The number of rows with edits that the server has not confirmed, including rejected ones.
    public var pendingCount = 0
    /// The number of rows whose change was rejected by the server or by this device.
    /// `rejectedChanges` lists them.
    public var rejectedCount = 0
    /// The number of downloaded rows that cannot be applied yet. ``SyncEngine/heldRows`` lists
    /// them.
    public var heldCount = 0
    /// What somebody should change about the app's set-up, the device or the server.
    public var notices: [SyncNotice] = []
    /// The progress of a download; nil if none is running.
    public var progress: Progress?
    /// The progress of an upload; nil if none is running.
    public var uploadProgress: UploadProgress?
    /// The last error; nil once sync works again.
    public var lastError: SyncError?
    /// When everything was last sent, fetched and applied without an error. It does not move while
    /// rows are held.
    public var lastSynced: Date?
    /// Whether the device has downloaded the whole log at least once.
    public var hasFinishedFirstSync = false

    /// Whether this device and the server had the same rows at the last exchange: nothing is
    /// pending, rejected or held, and the log was downloaded to its end.
    public var isSynced: Bool {
        hasFinishedFirstSync && pendingCount == 0 && rejectedCount == 0 && heldCount == 0
            && lastError == nil && progress == nil
    }

    /// Records that everything was sent and fetched. Rows that are held are not synced.
    mutating func recordSync(at time: Date) {
        if heldCount == 0 { lastSynced = time }
    }

    /// Records that no download or upload is running.
    mutating func endTransfers() { (progress, uploadProgress) = (nil, nil) }

    /// Makes the status of a stopped engine with nothing known.
    public init() {}
}

/// A rejected change of a row. The row on this device keeps the values that the app wrote.
public struct RejectedChange: Sendable, Hashable {
    /// The table's name in SQLite.
    public let table: String
    /// The key as it is sent: a lower-case UUID with dashes, or the text key.
    public let key: String
    /// The reason: one of the protocol's, such as `bad_payload`, or one of the library's:
    /// `unsendable_key`, `unsendable_value`, `resolver_failed`, `materialize_error`, `conflict`,
    /// `too_large`.
    public let reason: String
    /// A text for people; nil if the server gave only the reason.
    public let message: String?
    /// When the engine sends the change again; nil if only an edit or `retry(_:)` sends it again.
    public let retryAt: Date?
}

/// An event that the app may want to tell its user about.
public enum SyncEvent: Sendable, Hashable {
    /// A conflict was resolved; the report says how.
    case conflict(ConflictReport)
    /// The server or this device rejected a change. The event is not repeated if automatic retries
    /// are rejected for the same reason.
    case rejected(RejectedChange)
    /// The log was reread from its start, or, with the reason `deviceRestored`, the device's own
    /// changes are being downloaded again.
    case reread(RereadReport)
    /// Rows of a table were not what the server has, though the device had read everything. They
    /// are repaired.
    case drift(DriftReport)
    /// The user may read other tables than before.
    case access(AccessReport)
}
