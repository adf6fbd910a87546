import Model

/// A change that is well formed and concerns a registered table. The plan decides about it.
///
/// A class, because each step of an upload passes changes on, and a struct would retain each of its
/// parts every time.
package final class Change: Sendable {
    /// Its place in the request.
    package let index: Int
    package let id: ChangeID
    package let row: RowID
    /// Index of the table in the schema, which is its place in parents-first order.
    package let table: Int
    package let operation: Operation
    package let base: RowVersion
    /// The version that the server had confirmed of the row and has lost, as after a restore; 0:
    /// none. What the change makes is at least this version, so that devices that know an older one
    /// take it.
    package let lost: RowVersion
    /// Its payload's place in the request body; nil for a delete.
    package let payload: Range<Int>?
    /// Of operation class, row and payload: tells a repeat from another edit under the same id.
    package let contentHash: Int64
    /// The columns of the business table that its payload names.
    package let columns: ColumnSet
    /// Those of them that are null, cannot be NULL, and have a default: a new row takes that, and
    /// another one keeps its value.
    package let defaulted: ColumnSet
    /// Its payload has only values that columns such as times store unchanged.
    package let isOrdinary: Bool
    /// Columns that it has a value of another kind for, which PostgreSQL may convert
    /// (``ValueRule``).
    package let converted: ColumnSet
    /// The index of the first column for which the payload has a null that the column cannot hold.
    package let refusedNull: Int?
    /// The payload has an object or an array for a column whose values statements otherwise take as
    /// text.
    package let needsJSON: Bool
    /// Members of its payload that name no column, as far as they could be names of one.
    package let strangers: [String]
    /// Its payload has members that devices are not shown.
    package let hasMore: Bool
    /// The parent rows that it points to.
    package let needs: [ParentReference]
    /// The references that other rows may make to it.
    package let provides: [ParentReference]
    /// Members of what its device sent are left out of its payload.
    package let isReduced: Bool
    /// Some of them are of columns that are read-only for its device, which has other values there
    /// than the table, perhaps; or a value is of another kind than its column (``ValueRule``). The
    /// change gets the stored row as its payload.
    package let isOverruled: Bool

    package init(
        index: Int, id: ChangeID, row: RowID, table: Int, operation: Operation, base: RowVersion,
        lost: RowVersion = 0,
        payload: Range<Int>?, contentHash: Int64, columns: ColumnSet = ColumnSet(),
        defaulted: ColumnSet = ColumnSet(), isOrdinary: Bool = true,
        converted: ColumnSet = ColumnSet(), refusedNull: Int? = nil, needsJSON: Bool = false,
        strangers: [String] = [],
        hasMore: Bool = false,
        needs: [ParentReference] = [], provides: [ParentReference] = [],
        isReduced: Bool = false, isOverruled: Bool = false
    ) {
        self.index = index
        self.id = id
        self.row = row
        self.table = table
        self.operation = operation
        self.base = base
        self.lost = lost
        self.payload = payload
        self.contentHash = contentHash
        self.columns = columns
        self.defaulted = defaulted
        self.isOrdinary = isOrdinary
        self.converted = converted
        self.refusedNull = refusedNull
        self.needsJSON = needsJSON
        self.strangers = strangers
        self.hasMore = hasMore
        self.needs = needs
        self.provides = provides
        self.isReduced = isReduced
        self.isOverruled = isOverruled
    }

    /// The same with its payload elsewhere in the body. What was sent tells repeats apart.
    func with(payload: Range<Int>) -> Change { with(payload, contentHash) }

    /// The same with the hash of what its device sent, where the payload is only what was kept.
    func with(contentHash: Int64) -> Change { with(payload, contentHash) }

    private func with(_ payload: Range<Int>?, _ contentHash: Int64) -> Change {
        Change(
            index: index, id: id, row: row, table: table, operation: operation, base: base,
            lost: lost, payload: payload, contentHash: contentHash, columns: columns,
            defaulted: defaulted,
            isOrdinary: isOrdinary, converted: converted, refusedNull: refusedNull,
            needsJSON: needsJSON,
            strangers: strangers, hasMore: hasMore, needs: needs, provides: provides,
            isReduced: isReduced, isOverruled: isOverruled)
    }

    /// The version that the change gives its row if it is applied. A device may name any base, even
    /// the highest number.
    var attemptedVersion: RowVersion { base == .max ? base : base + 1 }
}

extension RowVersion {
    /// The highest lost version that a device may name: half of the versions are left for later
    /// changes, so that no change is beyond ``WireNumber/maximum``.
    static let maximumLost: RowVersion = 1 << 52
}

/// The values of one foreign key, in the order of its columns, without those that the server
/// writes.
package struct ParentReference: Hashable, Sendable {
    /// Index in `UploadSchema.foreignKeys`.
    package let foreignKey: Int
    package let values: [ParentValue]

    package init(foreignKey: Int, values: [ParentValue]) {
        self.foreignKey = foreignKey
        self.values = values
    }
}

/// A value that a foreign key can hold, in a form in which equal values are equal.
package enum ParentValue: Hashable, Sendable {
    case uuid(RowKey)
    case integer(Int64)
    case text(ExactText)

    /// As an answer shows it.
    package var text: String {
        switch self {
        case .uuid(let key): key.text
        case .integer(let number): "\(number)"
        case .text(let text): text.value
        }
    }
}

/// A set of a table's column indexes.
package struct ColumnSet: Hashable, Sendable {
    private var first: UInt64 = 0
    private var rest: [UInt64] = []

    package init() {}

    package var isEmpty: Bool { first == 0 && rest.allSatisfy { $0 == 0 } }

    package mutating func insert(_ column: Int) {
        if column < 64 {
            first |= 1 << UInt64(column)
            return
        }
        let word = column / 64 - 1
        while rest.count <= word { rest.append(0) }
        rest[word] |= 1 << UInt64(column % 64)
    }

    package func subtracting(_ other: ColumnSet) -> ColumnSet {
        var rest = self
        rest.first &= ~other.first
        for (word, bits) in zip(rest.rest.indices, other.rest) { rest.rest[word] &= ~bits }
        return rest
    }

    package func contains(_ column: Int) -> Bool {
        if column < 64 { return first & (1 << UInt64(column)) != 0 }
        let word = column / 64 - 1
        return word < rest.count && rest[word] & (1 << UInt64(column % 64)) != 0
    }
}
