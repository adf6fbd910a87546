/// Rows of a table that were not what the server has.
public struct DriftReport: Sendable, Hashable {
    /// The table's name in SQLite.
    public let table: String
    /// The number of rows that differed.
    public let rows: Int
    /// The number of those that are settled: taken from the server, held where this database
    /// refuses them, or queued to be sent again where the server has an older version or none.
    public let repaired: Int
}

/// The result of comparing all tables with the server's.
public struct VerifyReport: Sendable, Hashable {
    /// One entry for each synced table.
    public let tables: [TableComparison]

    /// Whether every table was compared and none differed.
    public var isEqual: Bool { tables.allSatisfy { $0.outcome == .equal } }
}

/// The result of comparing what this device received of a table's rows with what the server's log
/// says of them.
public struct TableComparison: Sendable, Hashable {
    /// What came of the comparison.
    public enum Outcome: Sendable, Hashable {
        /// Both sides hold the same rows.
        case equal
        /// Some rows differed. Each was taken from the server, is held because this database
        /// refuses it, or is queued to be sent again.
        case repaired
        /// There was nothing to compare with: the server is older, or does not serve the table, or
        /// the log kept growing.
        case notCompared
    }

    /// The number of keys that a report names.
    static let namedKeys = 100

    /// The table's name in SQLite.
    public let table: String
    /// What came of the comparison.
    public internal(set) var outcome: Outcome
    /// The number of rows that differed.
    public let differingRows: Int
    /// Their keys as they are sent, 100 at most.
    public let differingKeys: [String]
    /// The comparison of the app's values; nil if it was not asked for, or not made.
    public internal(set) var values: ValueComparison?

    init(_ table: String, _ outcome: Outcome, differing keys: [DeviceRowKey] = []) {
        self.table = table
        self.outcome = outcome
        differingRows = keys.count
        differingKeys = keys.prefix(Self.namedKeys).map(\.wire)
    }
}

extension TableComparison: CustomStringConvertible {
    /// The table, the outcome, and the ranges of the keys that differed: for logs.
    public var description: String {
        var text = "\(table): \(outcome)"
        let keys = differingKeys.sorted()
        if let first = keys.first, let last = keys.last {
            let range = KeyRange(first: first, last: last, rows: differingRows)
            text += ", \(differingRows) rows differed, \(range)"
        }
        guard let values, values.differingRows > 0 else { return text }
        let ranges = values.differingRanges.map(\.description).joined(separator: "; ")
        return text + ", the values of \(values.differingRows) rows differed, \(ranges)"
    }
}

extension VerifyReport: CustomStringConvertible {
    /// A line for each table: for logs.
    public var description: String { tables.map(\.description).joined(separator: "\n") }
}
