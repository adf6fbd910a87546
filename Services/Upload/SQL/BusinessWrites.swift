import Model
import Sidecar

/// Sorts applied changes into statements on business tables.
struct BusinessWrites {
    /// What the changes of one statement have in common.
    struct Shape: Hashable {
        let table: Int
        let kind: MaterializeStatement.Kind
        let columns: ColumnSet
        /// See ``Change/isOverruled``.
        let isOverruled: Bool
        /// See ``Change/hasMore``.
        let hasMore: Bool
        /// See ``Change/needsJSON``.
        let needsJSON: Bool

        init(_ change: Change, isCreation: Bool) {
            table = change.table
            kind = MaterializeStatement.Kind(change, isCreation: isCreation)
            columns = change.writtenColumns
            // Of a row that is there, the columns that are left out have other values than the
            // payload says. Of a new one they are looked at by themselves.
            isOverruled = change.isOverruled || kind == .update && !change.defaulted.isEmpty
            hasMore = change.hasMore
            needsJSON = change.needsJSON
        }

        init(
            table: Int, _ kind: MaterializeStatement.Kind, _ columns: ColumnSet,
            isOverruled: Bool = false, hasMore: Bool = false, needsJSON: Bool = false
        ) {
            self.table = table
            self.kind = kind
            self.columns = columns
            self.isOverruled = isOverruled
            self.hasMore = hasMore
            self.needsJSON = needsJSON
        }
    }

    struct Group {
        let shape: Shape
        var entries: [LogEntry]

        var table: Int { shape.table }
        var kind: MaterializeStatement.Kind { shape.kind }
        var columns: ColumnSet { shape.columns }
    }

    private struct Key: Hashable {
        /// How many changes of the same row stand before it: one statement writes a row once.
        let wave: Int
        let shape: Shape
    }

    /// The statements in the order in which they must run: wave by wave, parents first; then the deletes,
    /// children first.
    let groups: [Group]

    init(changes: [Change], entries: [LogEntry], schema: UploadSchema) {
        var waves: [RowCount: Int] = [:]
        var places: [Key: Int] = [:]
        var groups: [(key: Key, group: Group)] = []
        for entry in entries {
            let change = changes[entry.change]
            guard schema.tables[change.table].registered.mode == .table else { continue }
            let shape = Shape(change, isCreation: entry.isCreation)
            let rowCount = RowCount(row: change.row, isDelete: shape.kind == .delete)
            let wave = waves[rowCount, default: 0]
            waves[rowCount] = wave + 1
            let key = Key(wave: wave, shape: shape)
            if let place = places[key] {
                groups[place].group.entries.append(entry)
            } else {
                places[key] = groups.count
                groups.append((key, Group(shape: shape, entries: [entry])))
            }
        }
        self.groups = groups.enumerated().sorted { a, b in
            Self.rank(a.element.key, a.offset) < Self.rank(b.element.key, b.offset)
        }.map(\.element.group)
    }

    private static func rank(_ key: Key, _ offset: Int) -> (Int, Int, Int, Int) {
        let isDelete = key.shape.kind == .delete
        let table = key.shape.table
        return (isDelete ? 1 : 0, key.wave, isDelete ? -table : table, offset)
    }

    private struct RowCount: Hashable {
        let row: RowID
        let isDelete: Bool
    }
}

extension Change {
    /// The columns that a statement writes: all that the payload names, but for those that a null
    /// leaves as they are.
    var writtenColumns: ColumnSet { columns.subtracting(defaulted) }
}
