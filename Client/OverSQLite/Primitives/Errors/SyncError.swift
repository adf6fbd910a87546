import GRDB

/// What can go wrong with sync.
///
/// ``advice`` says what the app can do about an error, ``retriesByItself`` whether the background
/// loop tries again without anybody's help. Nothing that is thrown has lost an edit: what was not
/// confirmed stays in the queue.
public enum SyncError: Error, Sendable, Hashable {
    /// A table cannot be synced as it is declared: its name, and why.
    case unusableTable(String, String)
    /// The database was used by a newer version of this library, whose metadata has this format.
    case newerMetadata(format: Int)
    /// The gateway could not be reached, or the connection broke; the text is the transport's.
    case unreachable(String)
    /// Something answered that is not the gateway, such as a captive portal. Nothing was changed.
    case notTheGateway(String)
    /// The gateway refused the credentials, also after asking the app for them again.
    case unauthorized(String)
    /// The app's `credentials` threw; the text is the error's.
    case noCredentials(String)
    /// The gateway asks to come back later; seconds, if it said how many.
    case busy(retryAfter: Int?)
    /// The gateway refused the request; the code is the protocol's, such as `invalid_request`.
    case refused(status: Int, code: String, message: String)
    /// The database belongs to one user, and the token, or the sign-in, is another's; sign out
    /// first. The names are those of tokens (`sub`).
    case differentUser(owner: String, other: String)
    /// Signing out would lose this many rows that wait to be sent, the rejected ones included.
    case pendingChanges(Int, rejected: Int)
    /// Rows wait and none has got through for this many seconds.
    case noProgress(seconds: Int)
    /// The database failed in a way that may pass, such as a lock; the text is SQLite's.
    case database(String)
    /// The device has no room for what was to be written.
    case diskFull
    /// The database file is damaged, or is no database; the text is SQLite's.
    case databaseCorrupt(String)
    /// The app has closed the database.
    case databaseClosed
    /// Sync runs in the background already, by `start()` or by another `run()`.
    case alreadyRunning
    /// The app has paused sync.
    case paused
    /// Nothing syncs that could settle what was waited for; see `PendingChanges.confirmations()`.
    case stopped
}

extension SyncError {
    /// What an app can do about an error.
    public enum Advice: Sendable, Hashable {
        /// Nothing: the cause is likely to pass, and the background loop tries again. Show it, if
        /// it lasts.
        case wait
        /// Have the user sign in again, then call `retryNow()`.
        case signIn
        /// Sign the present user out first.
        case signOut
        /// Send what waits, and correct or discard what was rejected; then do it again.
        case settleChanges
        /// Free space on the device, or ask the user to.
        case freeSpace
        /// Mend the app's tables or the list of tables given to the engine: a mistake in the app's
        /// code.
        case fixSchema
        /// Update the app: its library is older than the database or the server expects.
        case updateApp
        /// Call `resume()` or `start()`.
        case resume
        /// Report it, with its description, to the app's developers: waiting does not help.
        case report
    }

    /// What the app can do.
    public var advice: Advice {
        switch self {
        case .unreachable, .notTheGateway, .busy, .noProgress, .database: .wait
        case .unauthorized, .noCredentials: .signIn
        case .differentUser: .signOut
        case .pendingChanges: .settleChanges
        case .diskFull: .freeSpace
        case .unusableTable: .fixSchema
        case .newerMetadata: .updateApp
        case .paused, .stopped: .resume
        case .databaseCorrupt, .databaseClosed, .alreadyRunning: .report
        case .refused(let status, let code, _): Self.advice(onRefusal: status, code)
        }
    }

    /// Whether the background loop tries again by itself. After any other error it waits for
    /// `retryNow()`.
    public var retriesByItself: Bool {
        switch self {
        case .unreachable, .notTheGateway, .busy, .noProgress, .database, .diskFull, .noCredentials:
            true
        case .refused(let status, _, _): status >= 500
        case .unusableTable, .newerMetadata, .unauthorized, .differentUser, .pendingChanges,
            .databaseCorrupt, .databaseClosed, .alreadyRunning, .paused, .stopped:
            false
        }
    }

    private static func advice(onRefusal status: Int, _ code: String) -> Advice {
        switch code {
        case "device_revoked": .signIn
        default: status >= 500 ? .wait : .report
        }
    }

    /// The error as an error of sync.
    init(_ error: DatabaseError) {
        self =
            switch error.resultCode.primaryResultCode {
            case .SQLITE_FULL: .diskFull
            // What SQLite says of a connection that is no more; the library misuses none that is.
            case .SQLITE_MISUSE: .databaseClosed
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .databaseCorrupt(error.description)
            default: .database(error.description)
            }
    }
}
