import GRDB

/// An error of sync.
///
/// ``advice`` says what the app can do about an error. ``retriesByItself`` says whether the
/// background loop tries again by itself. No error loses an edit: everything unconfirmed stays
/// pending.
public enum SyncError: Error, Sendable, Hashable {
    /// A table cannot be synced as it is declared. The values are the table's name and the reason.
    case unusableTable(String, String)
    /// A newer version of this library has used the database, and its metadata has this format.
    case newerMetadata(format: Int)
    /// The gateway could not be reached, or the connection broke. The text is the transport's.
    case unreachable(String)
    /// Something other than the gateway answered, such as a captive portal. Nothing was changed.
    case notTheGateway(String)
    /// The gateway refused the token, and also a second one from `credentials`. The text is the
    /// server's.
    case unauthorized(String)
    /// The app's `credentials` threw an error or returned an unusable token. The text says which.
    case noCredentials(String)
    /// The gateway asks the device to come back later. The value is the number of seconds, if it
    /// gave one.
    case busy(retryAfter: Int?)
    /// The gateway refused the request. The code is the protocol's, such as `invalid_request`.
    case refused(status: Int, code: String, message: String)
    /// The database belongs to one user, and the token or the sign-in names another. Sign out
    /// first. The values are user ids (`sub`).
    case differentUser(owner: String, other: String)
    /// Signing out would lose this many pending rows. The count includes the rejected ones.
    case pendingChanges(Int, rejected: Int)
    /// Changes are pending, and none has been confirmed for this many seconds.
    case noProgress(seconds: Int)
    /// The database failed in a way that may pass, such as a lock. The text is SQLite's.
    case database(String)
    /// The device has no space left.
    case diskFull
    /// The database file is damaged or is not a database. The text is SQLite's.
    case databaseCorrupt(String)
    /// A value in the library's own tables is not what the library has written. Nothing was
    /// changed: the app's rows and its edits are as they were. The text names the value.
    /// ``SyncEngine/repairMetadata(in:user:)`` is the way forward.
    case damagedMetadata(String)
    /// This device's id has no change numbers left: a change with the highest one was sent in its
    /// name. Nothing is damaged, and the edits stay. Sign in with a token for another device id.
    case deviceUsedUp
    /// The app has closed the database.
    case databaseClosed
    /// Sync is already running in the background, by `start()` or another `run()`.
    case alreadyRunning
    /// The app has paused sync.
    case paused
    /// Nothing is syncing, so the awaited result cannot arrive. See
    /// `PendingChanges.confirmations()` and `SyncEngine.waitForFirstSync()`.
    case stopped
}

extension SyncError {
    /// What an app can do about an error.
    public enum Advice: Sendable, Hashable {
        /// Nothing: the cause will probably pass, and the background loop tries again. Show the
        /// error if it lasts.
        case wait
        /// Let the user sign in again, then call `retryNow()`.
        case signIn
        /// Sign out the current user first.
        case signOut
        /// Send the pending changes, correct or discard the rejected ones, and try again.
        case settleChanges
        /// Free space on the device, or ask the user to.
        case freeSpace
        /// Correct the app's tables or the list of tables given to the engine. The mistake is in
        /// the app's code.
        case fixSchema
        /// Update the app: the database was used by a newer version of its library.
        case updateApp
        /// Stop the engine, call ``SyncEngine/repairMetadata(in:user:)``, and make a new engine.
        case repairMetadata
        /// Call `resume()` or `start()`.
        case resume
        /// Report the error, with its description, to the app's developers. Waiting does not help.
        case report
    }

    /// What the app can do about this error.
    public var advice: Advice {
        switch self {
        case .unreachable, .notTheGateway, .busy, .noProgress, .database: .wait
        case .unauthorized, .noCredentials: .signIn
        case .differentUser: .signOut
        case .pendingChanges: .settleChanges
        case .diskFull: .freeSpace
        case .unusableTable: .fixSchema
        case .newerMetadata: .updateApp
        case .damagedMetadata: .repairMetadata
        case .deviceUsedUp: .signIn
        case .paused, .stopped: .resume
        case .databaseCorrupt, .databaseClosed, .alreadyRunning: .report
        case .refused(let status, let code, _): Self.advice(onRefusal: status, code)
        }
    }

    /// Whether the background loop tries again by itself. After any other error it waits until the
    /// app calls `retryNow()`.
    public var retriesByItself: Bool {
        switch self {
        case .unreachable, .notTheGateway, .busy, .noProgress, .database, .diskFull, .noCredentials:
            true
        case .refused(let status, let code, _): status >= 500 || Self.passing.contains(code)
        case .unusableTable, .newerMetadata, .damagedMetadata, .deviceUsedUp, .unauthorized,
            .differentUser, .pendingChanges, .databaseCorrupt, .databaseClosed, .alreadyRunning,
            .paused, .stopped:
            false
        }
    }

    /// Refusals that end by themselves: the device rereads the log, though not twice in a short
    /// time.
    static let passing: Set = ["history_forked", "history_unproven"]

    private static func advice(onRefusal status: Int, _ code: String) -> Advice {
        switch code {
        case "device_revoked": .signIn
        case _ where passing.contains(code): .wait
        default: status >= 500 ? .wait : .report
        }
    }

    /// Translates SQLite's error.
    init(_ error: DatabaseError) {
        self =
            switch error.resultCode.primaryResultCode {
            case .SQLITE_FULL: .diskFull
            // SQLite reports misuse for a closed connection. The library never misuses an open one.
            case .SQLITE_MISUSE: .databaseClosed
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .databaseCorrupt(error.description)
            default: .database(error.description)
            }
    }
}
