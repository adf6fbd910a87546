import Model
import Postgres

/// How much a user may have; nil: as much as it likes.
package struct Quotas: Hashable, Sendable {
    package var rows: Int64?
    /// Of the rows' payloads.
    package var bytes: Int64?
    package var devices: Int64?

    package init(rows: Int64? = nil, bytes: Int64? = nil, devices: Int64? = nil) {
        self.rows = rows
        self.bytes = bytes
        self.devices = devices
    }

    /// Whether a user's rows are counted.
    package var concernRows: Bool { rows != nil || bytes != nil }

    /// Whether a user may go from one use to another: what grows stays within its quota. Whatever
    /// frees room may be done, also beyond a quota that was lowered.
    package func allow(_ next: Usage, after former: Usage) -> Bool {
        excess(next, after: former) == nil
    }

    /// In words, which quota a change would exceed; nil if it may be made.
    func excess(_ next: Usage, after former: Usage) -> String? {
        if let rows, next.rows > rows, next.rows > former.rows {
            return "the quota of \(rows) rows is used up; delete rows or ask for a larger quota"
        }
        if let bytes, next.bytes > bytes, next.bytes > former.bytes {
            return "the quota of \(bytes) bytes has no room for it; "
                + "delete or shorten rows, or ask for a larger quota"
        }
        return nil
    }

    /// What becomes of a change for which there is no room: its device keeps it, tries it again
    /// later, and goes on with the others. Existing clients drop some changes that are `invalid`,
    /// and keep those that a table refused.
    static func rejection(of table: TableName, version: RowVersion, _ excess: String)
        -> ChangeVerdict
    {
        .materializeError(
            version: version,
            message: "\(table) did not take the row: \(excess) (SQLSTATE \(state.rawValue))")
    }

    /// Tells clients and operators this rejection from others.
    static let state = SQLState(rawValue: "OV006")
}

/// What a user uses of its quotas.
package struct Usage: Hashable, Sendable {
    /// That are not deleted.
    package var rows: Int64
    /// Of their payloads, as they count.
    package var bytes: Int64
    /// Further changes of the log are still to be counted.
    package var isBehind: Bool

    package init(rows: Int64 = 0, bytes: Int64 = 0, isBehind: Bool = false) {
        self.rows = rows
        self.bytes = bytes
        self.isBehind = isBehind
    }

    /// What a change makes of the use, and the bytes that its row then counts with; nil: it does
    /// not count.
    ///
    /// - Parameters:
    ///   - isWhole: the change says all of its row (``UploadTable/isWhole(_:)``). Another one never
    ///     makes the row smaller: what it does not name stays.
    ///   - fact: what the row is before; nil if it never was.
    func adding(
        _ change: Change, isWhole: Bool, to fact: RowFact?
    ) -> (usage: Usage, rowBytes: Int64?) {
        var next = self
        let former = fact.flatMap { $0.isDeleted ? nil : $0 }
        guard change.operation != .delete else {
            if let former {
                next.rows -= 1
                next.bytes -= former.countedBytes ?? 0
            }
            return (next, nil)
        }
        var bytes = Int64(change.payload?.count ?? 0)
        guard let former else {
            next.rows += 1
            next.bytes += bytes
            return (next, bytes)
        }
        // It is in what is still to be counted: nobody knows yet whether this makes it longer.
        if former.countedBytes == nil, isBehind { return (self, nil) }
        let formerBytes = former.countedBytes ?? 0
        if !isWhole { bytes = max(bytes, formerBytes) }
        next.bytes += bytes - formerBytes
        return (next, bytes)
    }
}
