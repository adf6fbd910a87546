import Foundation
import GRDB

extension Database {
    /// The next number for a row that the app creates in a table that the server numbers.
    ///
    /// The device has leased it from the table's own sequence, so neither the server nor another
    /// device gives it to another row, and the row keeps it. Call it in the write transaction that
    /// inserts the row, and insert with the number:
    ///
    /// ```swift
    /// try database.write { db in
    ///     let id = try db.nextSyncKey(for: "orders")
    ///     try Order(id: id, title: "Paper").insert(db)
    /// }
    /// ```
    ///
    /// If the transaction is rolled back, a later call gives the number out again. Numbers that no
    /// row gets are lost to the sequence; it has gaps anyway.
    ///
    /// The engine leases numbers at the first sync, and again when half of them are used, more at a
    /// time where they are used up quickly. So a device that is offline creates rows from what it
    /// has.
    ///
    /// - Parameter table: the name of a table that the engine syncs with
    ///   ``OverSQLite/SyncTable/leasesKeys``.
    /// - Throws: ``SyncKeyError``, ``SyncError/damagedMetadata(_:)`` or a database error.
    public func nextSyncKey(for table: String) throws -> Int64 {
        try KeyRanges(db: self).take(of: table)
    }
}

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
