import Foundation

extension SyncError: CustomStringConvertible {
    /// Everything known about the error, for logs. It contains no user data except user ids.
    public var description: String {
        switch self {
        case .unusableTable(let table, let why): "the table \(table) cannot be synced: \(why)"
        case .newerMetadata(let format):
            "a newer version of OverSQLite has used the database (metadata format \(format)): "
                + "update the app"
        case .unreachable(let why): "the gateway could not be reached: \(why)"
        case .notTheGateway(let why): "something other than the gateway answered: \(why)"
        case .unauthorized(let why): "the gateway refused the credentials: \(why)"
        case .noCredentials(let why): "the app gave no usable credentials: \(why)"
        case .busy(let seconds):
            "the gateway is busy" + (seconds.map { " and asks to retry after \($0) s" } ?? "")
        case .refused(let status, let code, let message):
            "the gateway refused the request: \(status) \(code): \(message)"
        case .differentUser(let owner, let other):
            "the database belongs to the user \(owner), not to \(other): sign out first"
        case .pendingChanges(let count, let rejected):
            "signing out would lose " + (count == 1 ? "1 pending row" : "\(count) pending rows")
                + (rejected == 0 ? "" : ", \(rejected) of them rejected")
                + ": sync first, or call signOut(force: true)"
        case .noProgress(let seconds):
            "changes are pending, and none has been confirmed for \(seconds) s"
        case .database(let why): "the database failed: \(why)"
        case .diskFull: "the device has no space left"
        case .databaseCorrupt(let why):
            "the database file is damaged or is not a database: \(why)"
        case .damagedMetadata(let what):
            "the library's own tables are damaged: \(what): stop the engine, call "
                + "SyncEngine.repairMetadata(in:user:), and make a new engine"
        case .deviceUsedUp:
            "a change with the highest number was sent in the name of this device, so none is left "
                + "for its edits, which stay: sign in with a token for another device id"
        case .databaseClosed:
            "the app has closed the database: stop the engine before closing it, and make a new "
                + "engine after opening it again"
        case .alreadyRunning: "sync is already running: call start() or run() only once"
        case .paused:
            "sync is paused: call resume(), or wait until withSyncPaused(_:) returns"
        case .stopped: "nothing is syncing: call start(), or syncChanges() to sync once"
        }
    }
}

/// Sentences for the app's user. An app that wants other words can switch over the case or
/// ``advice``.
extension SyncError: LocalizedError {
    /// What is wrong, in one sentence without technical terms.
    public var errorDescription: String? {
        switch self {
        case .unreachable: "The server cannot be reached."
        case .notTheGateway: "This network blocks sync."
        case .unauthorized, .noCredentials: "You are signed out."
        case .busy: "The server is busy."
        case .refused(let status, let code, _)
        where status >= 500 || Self.passing.contains(code):
            "The server has a problem."
        case .refused:
            "The server does not accept requests from this version of the app."
        case .differentUser: "This device holds another user's data."
        case .pendingChanges(let count, _):
            count == 1
                ? "One change has not been sent yet." : "\(count) changes have not been sent yet."
        case .noProgress: "Changes have been waiting to be sent for some time."
        case .database: "The data on this device cannot be written at the moment."
        case .diskFull: "This device has no free space."
        case .deviceUsedUp: "This device must sign in again."
        case .databaseCorrupt, .damagedMetadata: "The data on this device is damaged."
        case .unusableTable, .newerMetadata: "This version of the app cannot sync its data."
        case .databaseClosed, .alreadyRunning: "This app has an internal error."
        case .paused: "Sync is paused."
        case .stopped: "Sync is not running."
        }
    }

    /// The same as ``description``.
    public var failureReason: String? { description }

    /// What the user can do; nil if only the app's developers can do something.
    public var recoverySuggestion: String? {
        switch advice {
        case .wait: "It is tried again by itself. Your changes are kept."
        case .signIn: "Sign in again."
        case .signOut: "Sign out first."
        case .settleChanges:
            if case .pendingChanges(let count, let rejected) = self, count == rejected {
                "Correct or discard the rejected changes."
            } else {
                "Wait until everything is sent."
            }
        case .freeSpace: "Free some space on this device."
        case .updateApp: "Update the app."
        case .resume: "Turn sync on."
        case .fixSchema, .report, .repairMetadata: nil
        }
    }
}
