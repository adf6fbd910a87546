/// What can go wrong with sync.
public enum SyncError: Error, Sendable, Hashable {
    /// A table cannot be synced as it is declared; the text says why.
    case unusableTable(String, String)
    /// The database was used by a newer version of this library.
    case newerMetadata(format: Int)
    /// The gateway could not be reached, or the connection broke.
    case unreachable(String)
    /// Something answered that is not the gateway, such as a captive portal. Nothing was changed.
    case notTheGateway(String)
    /// The gateway refused the credentials, also after asking the app for them again.
    case unauthorized(String)
    /// The app could not give credentials.
    case noCredentials(String)
    /// The gateway asks to come back later; seconds, if it said how many.
    case busy(retryAfter: Int?)
    /// The gateway refused the request; the code is the protocol's, such as `invalid_request`.
    case refused(status: Int, code: String, message: String)
    /// One row alone is more than the gateway takes in a request.
    case tooLarge
    /// The database belongs to another user; sign out first.
    case differentUser
    /// Signing out would lose this many rows that wait to be sent.
    case pendingChanges(Int)
    /// Rows wait and none has got through for this many seconds.
    case noProgress(seconds: Int)
    /// The database failed.
    case database(String)
    /// The app has paused sync.
    case paused

    /// Whether trying again without anybody's help can work.
    var isTransient: Bool {
        switch self {
        case .unreachable, .notTheGateway, .busy, .noProgress, .database, .noCredentials: true
        case .refused(let status, _, _): status >= 500
        default: false
        }
    }
}
