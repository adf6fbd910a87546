import Model
import Postgres
import Sidecar

/// How the business rows of an attempt are written, beyond the usual order: which deletes go before
/// the upserts, and which values are parked before anything takes its own.
struct WriteArrangement: Sendable {
    /// The usual order.
    static let none = WriteArrangement()

    /// A way to free an index's values, and the next one for rows that it does not suit.
    struct Parking: Sendable {
        let index: UniqueIndex
        let options: [ParkingOption]
        /// The options suit every row.
        let isComplete: Bool
    }

    var deletesFirst = false
    var parkings: [Parking] = []
    /// Single rows that stand aside where not all of an index's rows can.
    var openers: [Parked] = []
    /// The changes in the order in which they are written one by one; nil: as statements have them.
    var order: [Int]?

    var isNone: Bool { !deletesFirst && parkings.isEmpty && openers.isEmpty }

    /// The deletes that can go before the upserts: of rows that nothing else of the attempt writes,
    /// in tables that no upsert's table points to. Before an upsert that moves a child to another
    /// parent, the delete of the old parent would take the child along.
    func earlyDeletes(
        _ entries: [LogEntry], of changes: [Change], in schema: UploadSchema
    ) -> Set<Int> {
        guard deletesFirst else { return [] }
        var writes: [RowID: Int] = [:]
        var upserted: Set<Int> = []
        var deleted: Set<Int> = []
        for entry in entries {
            let change = changes[entry.change]
            writes[change.row, default: 0] += 1
            if change.operation == .delete {
                deleted.insert(change.table)
            } else {
                upserted.insert(change.table)
            }
        }
        guard !upserted.isEmpty else { return [] }
        let ancestors = schema.ancestors(of: upserted)
        let isFree = deleted.subtracting(ancestors)
        return Set(
            entries.lazy.map(\.change).filter { position in
                let change = changes[position]
                return change.operation == .delete && isFree.contains(change.table)
                    && writes[change.row] == 1
            })
    }

    /// Rows that an option of a parking moves out of the way.
    struct Parked {
        let option: ParkingOption
        let table: Int
        let rows: [RowID]
    }

    /// What is parked for an attempt: each row by the first option whose columns the attempt's
    /// first statement on the row writes, or by any if that deletes the row.
    ///
    /// - Parameter entries: those that are not written before.
    func parked(
        _ entries: [LogEntry], of changes: [Change], whereImmediate: Bool
    ) -> [Parked] {
        let parked = parkings.filter { $0.index.isImmediate || !whereImmediate }.flatMap {
            parking in
            let rows = ParkableRows(entries, of: changes, in: parking.index)
            var left = rows.all
            return parking.options.compactMap { option in
                let fitting = left.filter { rows.fits($0, option) }
                left.removeAll { rows.fits($0, option) }
                return fitting.isEmpty
                    ? nil : Parked(option: option, table: parking.index.table, rows: fitting)
            }
        }
        return parked + openers
    }
}

/// The rows of an attempt that are in a table, and what it writes to each first.
///
/// A value can be parked where the first statement on its row overwrites it. After an earlier one
/// of the row the parked value would still be in the table, and that statement's change would have
/// it as what the table stores.
struct ParkableRows {
    private(set) var all: [RowID] = []
    /// What the first statement on each row writes. It has no entry for a row that it deletes.
    private var written: [RowID: ColumnSet] = [:]

    init(_ entries: [LogEntry], of changes: [Change], in index: UniqueIndex) {
        var seen: Set<RowID> = []
        for entry in entries where changes[entry.change].table == index.table {
            let change = changes[entry.change]
            guard seen.insert(change.row).inserted else { continue }
            all.append(change.row)
            let kind = MaterializeStatement.Kind(change, isCreation: entry.isCreation)
            if kind != .delete { written[change.row] = change.writtenColumns }
        }
    }

    /// - Parameter row: one of ``all``.
    func fits(_ row: RowID, _ option: ParkingOption) -> Bool {
        guard let written = written[row] else { return true }
        return option.assignments.allSatisfy { written.contains($0.column) }
    }
}

extension UploadSchema {
    /// The tables that some of these point to, directly or through others; a table that points to
    /// itself is its own.
    fileprivate func ancestors(of children: Set<Int>) -> Set<Int> {
        var found: Set<Int> = []
        var next = Array(children)
        while let child = next.popLast() {
            for key in tables[child].registered.foreignKeys {
                guard let parent = table(key.parent), found.insert(parent).inserted else {
                    continue
                }
                next.append(parent)
            }
        }
        return found
    }
}
