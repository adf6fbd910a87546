import Foundation

/// Why there is no number for a new row.
public enum SyncKeyError: Error, Sendable, Hashable {
    /// All numbers of the table that the device has leased are used. A sync leases new ones, unless
    /// the server has none: its sequence is at the end, the table has no sequence, or the user may
    /// not write to the table.
    case noneLeft(table: String)
    /// No engine on this database leases numbers for the table. The mistake is in the app's code.
    case notLeased(table: String)
}

extension SyncKeyError: CustomStringConvertible, LocalizedError {
    /// What is wrong, and what to do about it.
    public var description: String {
        switch self {
        case .noneLeft(let table):
            "no leased number is left for a new row of \(table): sync while the server can be "
                + "reached, then try again"
        case .notLeased(let table):
            "no numbers are leased for \(table): pass keyKind: .integer and leasesKeys: true for "
                + "the table"
        }
    }

    /// The same for the app's user, without technical terms.
    public var errorDescription: String? {
        switch self {
        case .noneLeft: "This device must reach the server before it can add more."
        case .notLeased: "This app has an internal error."
        }
    }

    /// The same as ``description``.
    public var failureReason: String? { description }
}
