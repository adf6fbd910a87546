import Foundation

/// The outcome of an edit of a row.
public enum ChangeOutcome: Sendable, Hashable {
    /// The server has the edit, by itself or as part of a later edit of the row. Also the outcome
    /// if the row was inserted and deleted on this device before it was ever sent.
    case accepted
    /// The server or this device rejected the edit. The row on this device keeps it, and it may be
    /// sent again later.
    case rejected(RejectedChange)
    /// A conflict was resolved in favor of the server's row.
    case overruled(ConflictReport)
    /// The app gave up the edit, with `discard(_:)` or by signing out.
    case discarded
}

/// A row of a write, and its outcome.
public struct ChangeConfirmation: Sendable, Hashable {
    /// The table's name in SQLite.
    public let table: String
    /// The key as it is sent: a lower-case UUID with dashes, or the text key.
    public let key: String
    /// The outcome of the row's edit.
    public let outcome: ChangeOutcome
}

/// Thrown by `confirmed()` if the server does not have some rows of a write.
public struct UnconfirmedChanges: Error, Sendable, Hashable {
    /// The rows that were not accepted, in the order they were written.
    public let changes: [ChangeConfirmation]
}

extension UnconfirmedChanges: CustomStringConvertible, LocalizedError {
    /// Each row and its outcome, for logs. The message of a rejection may quote the server.
    public var description: String {
        changes.map { change in
            switch change.outcome {
            case .accepted: "\(change.table) \(change.key) was accepted"
            case .rejected(let row):
                "\(change.table) \(change.key) was rejected: \(row.reason)"
                    + (row.message.map { ": \($0)" } ?? "")
            case .overruled: "\(change.table) \(change.key) was overruled by the server's row"
            case .discarded: "\(change.table) \(change.key) was discarded"
            }
        }.joined(separator: "; ")
    }

    /// A sentence for the app's user.
    public var errorDescription: String? {
        changes.count == 1
            ? "One change was not accepted." : "\(changes.count) changes were not accepted."
    }

    /// The same as ``description``.
    public var failureReason: String? { description }
}
