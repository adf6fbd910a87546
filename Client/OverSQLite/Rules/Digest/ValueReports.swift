/// The result of comparing a table's values with those that the server's log has.
public struct ValueComparison: Sendable, Hashable {
    /// The number of ranges that a report names.
    static let namedRanges = 100

    /// The number of rows whose values were compared.
    public internal(set) var comparedRows = 0
    /// The number of rows that were left out: they have edits that the server has not confirmed,
    /// are held, have values that a migration gave them for this device only, or cannot be read.
    public internal(set) var skippedRows = 0
    /// The number of rows that differed between the app's table and the log, or that only one of
    /// them had.
    public internal(set) var differingRows = 0
    /// Their keys, in ranges of neighbours; 100 at most.
    public internal(set) var differingRanges: [KeyRange] = []
    /// The columns that were not compared, in alphabetical order.
    public internal(set) var skippedColumns: [SkippedColumn] = []

    /// Adds the rows of a part of the table.
    ///
    /// - Parameters:
    ///   - keys: all rows of the part, in order.
    ///   - differing: which of them differ.
    mutating func add(_ keys: [DeviceRowKey], differing: Set<DeviceRowKey>) {
        differingRows += differing.count
        var isOpen = false
        for key in keys {
            guard differing.contains(key) else {
                isOpen = false
                continue
            }
            if isOpen, var last = differingRanges.popLast() {
                last.last = key.wire
                last.rows += 1
                differingRanges.append(last)
            } else if differingRanges.count < Self.namedRanges {
                differingRanges.append(KeyRange(first: key.wire, last: key.wire, rows: 1))
                isOpen = true
            }
        }
    }
}

/// Neighbouring rows of a table, in the order of the bytes of their keys.
public struct KeyRange: Sendable, Hashable, CustomStringConvertible {
    /// The first row's key, as it is sent.
    public internal(set) var first: String
    /// The last row's key, as it is sent.
    public internal(set) var last: String
    /// The number of rows.
    public internal(set) var rows: Int

    /// The first key, and the last one if it is another: for logs.
    public var description: String { first == last ? first : "\(first) to \(last)" }
}

/// A column whose values are not compared.
public struct SkippedColumn: Sendable, Hashable {
    /// Why a column is left out.
    public enum Cause: String, Sendable, Hashable {
        /// Only this device has it: it is one of ``SyncTable/localColumns``, or the server does not
        /// sync it.
        case deviceOnly
        /// The server has it and the app's table does not.
        case serverOnly
        /// It cannot hold every value of the server's type: ``SyncNotice`` says how to declare it.
        case lossy
    }

    /// The column's name: in SQLite, or on the server if only that has it.
    public let name: String
    /// Why it is left out.
    public let cause: Cause

    /// - Parameter server: the table's columns on the server; nil if it does not tell.
    static func all(of table: TableSchema, _ server: [Capabilities.Column]?) -> [SkippedColumn] {
        var skipped = table.localColumns.map { SkippedColumn(name: $0, cause: .deviceOnly) }
        if let server {
            let here = Set(table.columns.map(\.wireName))
                .union(table.localColumns.map { $0.lowercased() })
            let there = Set(server.map(\.name))
            skipped += table.columns.filter { !there.contains($0.wireName) }.map {
                SkippedColumn(name: $0.name, cause: .deviceOnly)
            }
            skipped += there.subtracting(here).map { SkippedColumn(name: $0, cause: .serverOnly) }
            skipped += ColumnFit.lossyColumns(of: table, server).map {
                SkippedColumn(name: $0, cause: .lossy)
            }
        }
        return skipped.sorted { $0.name < $1.name }
    }
}
