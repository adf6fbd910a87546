import Foundation

/// What became of an edit of a row.
public enum ChangeOutcome: Sendable, Hashable {
    /// The server has it, by itself or within a later edit of the row. Also: there was nothing to
    /// send, since the row came and went on this device alone.
    case accepted
    /// The server, or this device, has refused it; the row still has it. It may be tried again
    /// later.
    case rejected(RejectedChange)
    /// A conflict with the server's row was settled against it.
    case overruled(ConflictReport)
    /// The app gave it up, by `discard(_:)` or by signing out.
    case discarded
}

/// One row of a write and what became of it.
public struct ChangeConfirmation: Sendable, Hashable {
    /// The table's name in SQLite.
    public let table: String
    /// The key as it travels: a dashed lower-case UUID, or the text key.
    public let key: String
    /// What became of the row's edit.
    public let outcome: ChangeOutcome
}

/// Thrown by `confirmed()`: some rows of a write have not become the server's.
public struct UnconfirmedChanges: Error, Sendable, Hashable {
    /// The rows that were not accepted, in the order they were written.
    public let changes: [ChangeConfirmation]
}

extension UnconfirmedChanges: CustomStringConvertible, LocalizedError {
    /// For logs: each row with its outcome; a refusal's message may quote the server.
    public var description: String {
        changes.map { change in
            switch change.outcome {
            case .accepted: "\(change.table) \(change.key) was accepted"
            case .rejected(let row):
                "\(change.table) \(change.key) was rejected: \(row.reason)"
                    + (row.message.map { ": \($0)" } ?? "")
            case .overruled: "\(change.table) \(change.key) lost against the server's row"
            case .discarded: "\(change.table) \(change.key) was given up"
            }
        }.joined(separator: "; ")
    }

    /// A sentence for people.
    public var errorDescription: String? {
        changes.count == 1
            ? "One change was not accepted." : "\(changes.count) changes were not accepted."
    }

    /// The ``description``.
    public var failureReason: String? { description }
}
