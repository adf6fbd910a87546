import Foundation

extension SyncError: CustomStringConvertible {
    /// For logs: everything that is known, and nothing of the user's data beside users' names.
    public var description: String {
        switch self {
        case .unusableTable(let table, let why): "the table \(table) cannot be synced: \(why)"
        case .newerMetadata(let format):
            "the database has metadata of format \(format), newer than this library knows"
        case .unreachable(let why): "the gateway could not be reached: \(why)"
        case .notTheGateway(let why): "something other than the gateway answered: \(why)"
        case .unauthorized(let why): "the gateway refused the credentials: \(why)"
        case .noCredentials(let why): "the app gave no credentials: \(why)"
        case .busy(let seconds):
            "the gateway is busy" + (seconds.map { "; it asks to wait for \($0) s" } ?? "")
        case .refused(let status, let code, let message):
            "the gateway refused the request: \(status) \(code): \(message)"
        case .differentUser(let owner, let other):
            "the database belongs to the user \(owner), and not to \(other)"
        case .pendingChanges(let count, let rejected):
            (count == 1 ? "1 row waits" : "\(count) rows wait") + " to be sent"
                + (rejected == 0 ? "" : ", \(rejected) of them rejected,") + " and would be lost"
        case .noProgress(let seconds): "rows wait and none has got through for \(seconds) s"
        case .database(let why): "the database failed: \(why)"
        case .diskFull: "the device has no room left"
        case .databaseCorrupt(let why): "the database file is damaged: \(why)"
        case .databaseClosed:
            "the app has closed the database: stop the engine first, and make another for one that is open"
        case .alreadyRunning: "sync runs already: call start() or run(), and once"
        case .paused: "sync is paused"
        case .stopped: "nothing syncs at present: call start(), or syncChanges() for once"
        }
    }
}

/// Sentences for people. An app with other words for them decides by the case or by ``advice``.
extension SyncError: LocalizedError {
    /// What is wrong, in one sentence without technicalities.
    public var errorDescription: String? {
        switch self {
        case .unreachable: "The server cannot be reached."
        case .notTheGateway: "This network does not let sync through."
        case .unauthorized, .noCredentials: "You are signed out."
        case .busy: "The server is busy."
        case .refused(let status, _, _) where status >= 500: "The server has a problem."
        case .refused: "The server does not accept this version of the app's requests."
        case .differentUser: "This device holds another user's data."
        case .pendingChanges(let count, _):
            count == 1
                ? "One change has not been sent yet." : "\(count) changes have not been sent yet."
        case .noProgress: "Changes have been waiting to be sent for some time."
        case .database: "The data on this device cannot be written at the moment."
        case .diskFull: "This device has no free space."
        case .databaseCorrupt: "The data on this device is damaged."
        case .unusableTable, .newerMetadata: "This version of the app cannot sync its data."
        case .databaseClosed, .alreadyRunning: "This app has made a mistake with its data."
        case .paused: "Sync is paused."
        case .stopped: "Sync is not running."
        }
    }

    /// The error's ``description``.
    public var failureReason: String? { description }

    /// What a user can do; nil where only the app's developers can do something.
    public var recoverySuggestion: String? {
        switch advice {
        case .wait: "It is tried again by itself. Your changes are kept."
        case .signIn: "Sign in again."
        case .signOut: "Sign out first."
        case .settleChanges:
            if case .pendingChanges(let count, let rejected) = self, count == rejected {
                "Correct or discard the changes that were refused."
            } else {
                "Wait until everything is sent."
            }
        case .freeSpace: "Delete what you no longer need."
        case .updateApp: "Update the app."
        case .resume: "Turn sync on."
        case .fixSchema, .report: nil
        }
    }
}
