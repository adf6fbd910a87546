import Model
import Postgres
import Sidecar

/// The catalog as the rules of an upload use it: names are resolved to indexes once, not once a
/// change.
package struct UploadSchema: Sendable {
    package let catalog: Catalog
    package let tables: [UploadTable]
    /// Every foreign key that can be checked before the write, of all tables.
    package let foreignKeys: [CheckedForeignKey]
    /// Whether rows of a batch may point at each other over keys that are checked at the commit:
    /// keys of a table to itself, or keys of tables that form a cycle.
    let mayHaveCycles: Bool
    /// The policies of some table decide about uploads.
    let hasPolicies: Bool
    /// Registered tables that are none any more: dropped, or a view has taken their name.
    let gone: Set<Int>
    /// Children and parents among the tables, by any foreign key: PostgreSQL checks also those
    /// whose values the rules do not know.
    private let relations: Set<Relation>

    private struct Relation: Hashable, Sendable {
        let child: Int
        let parent: Int
    }

    package init(catalog: Catalog) {
        self.catalog = catalog
        var foreignKeys: [CheckedForeignKey] = []
        var relations: Set<Relation> = []
        var referenced: Set<TableName> = []
        var referencedByValue: Set<TableName> = []
        var dependent: Set<Int> = []
        for (index, table) in catalog.tables.enumerated() {
            for key in table.foreignKeys {
                referenced.insert(key.parent)
                let fixed = catalog[key.parent].map { [$0.keyColumn, $0.ownerColumn] } ?? []
                if !key.columns.allSatisfy({ fixed.contains($0.parent) }) {
                    referencedByValue.insert(key.parent)
                }
                if let parent = catalog[key.parent]?.position, parent != index {
                    relations.insert(Relation(child: index, parent: parent))
                }
                let checked = CheckedForeignKey(key, ofTable: index, in: catalog)
                if let checked { foreignKeys.append(checked) }
                if catalog[key.parent] != nil, checked?.isNamed(in: table) != true {
                    dependent.insert(index)
                }
            }
        }
        self.foreignKeys = foreignKeys
        self.relations = relations
        hasPolicies = catalog.tables.contains { $0.policies.isWanted }
        gone = Set(
            catalog.tables.indices.filter {
                catalog.tables[$0].mode == .table && catalog.tables[$0].columns.isEmpty
            })
        // Tables stand parents first, but for cycles.
        mayHaveCycles = foreignKeys.contains { key in
            key.key.isDeferrable && (key.parent ?? -1) >= key.child
        }
        tables = catalog.tables.enumerated().map { index, table in
            UploadTable(
                table, at: index, foreignKeys,
                isPlain: !table.hasRowTriggers && !table.reach.hasTriggers
                    && !referencedByValue.contains(table.name),
                isLeaf: !referenced.contains(table.name),
                comparesRows: table.reach.comparesRows,
                hasUnnamedParents: dependent.contains(index))
        }
    }

    /// The table of a wire name, as an index into `tables`.
    package func table(_ name: TableName) -> Int? { catalog[name]?.position }

    /// Whether some of these tables are parents of others among them.
    package func areRelated(_ indexes: Set<Int>) -> Bool {
        relations.contains { indexes.contains($0.child) && indexes.contains($0.parent) }
    }
}

/// A registered table with its payload columns ready for look-up. A class for the same reason as
/// ``Change``.
package final class UploadTable: Sendable {
    package let registered: RegisteredTable
    /// The name that payloads use for each column: its own in lower case.
    package let wireNames: [[UInt8]]
    /// Foreign keys of this table, as indexes into `UploadSchema.foreignKeys`.
    let foreignKeys: [Int]
    /// Foreign keys of any table that point here.
    let referencing: [Int]
    /// The columns whose values the rules look at: those of foreign keys, from either end.
    let valueColumns: Set<Int>
    /// Columns that a null leaves to their default, or as they are (``Change/defaulted``).
    let takingDefaults: ColumnSet
    /// Columns that cannot hold a null, have no default, and are not filled by a trigger.
    let refusingNulls: ColumnSet
    /// Columns that devices are shown.
    let shownColumns: ColumnSet
    /// Those of them that make the size of a row: all but its key.
    let sizedColumns: ColumnSet
    /// Columns whose values statements take as text, and columns that no statement writes.
    let textColumns: ColumnSet
    /// For each column, the values that it stores as they are, where it does not store all so.
    let ordinaryValues: [OrdinaryValue?]
    /// Which kinds of values each column takes; nil for one that takes all, or that no payload
    /// writes.
    let valueRules: [ValueRule?]
    /// The table may hold other rows than payloads say; false of most tables, which pay nothing.
    let mayStoreOtherwise: Bool
    /// Names of columns that stay on the server, in lower case.
    let exceptNames: Set<String>
    /// Columns that devices write only with one of these roles, by their index.
    let readOnly: [Int: Set<String>]
    /// Whether members of payloads may have to be left out.
    let withholds: Bool
    /// What is written to its rows stays there: no trigger of the team's stands on it, and no
    /// foreign key points to a column that an update may change.
    let isPlain: Bool
    /// No foreign key of a registered table points to it: deleting its rows changes no others.
    let isLeaf: Bool
    /// PostgreSQL compares its rows with each other, by more than the key: a unique index without
    /// the key, or an exclusion constraint.
    let comparesRows: Bool
    /// Rows may need parents that no payload names.
    let hasUnnamedParents: Bool
    /// See ``RegisteredTable/keyRange``.
    let keyRange: ClosedRange<Int64>

    /// Whether a write may run triggers of the team's, which may change the session's settings.
    ///
    /// - Parameter isDelete: a delete reaches the tables that point to this one, too.
    func mayRunTriggers(isDelete: Bool) -> Bool {
        registered.reach.hasTriggers || isDelete && !isLeaf
    }

    init(
        _ registered: RegisteredTable, at index: Int, _ all: [CheckedForeignKey], isPlain: Bool,
        isLeaf: Bool, comparesRows: Bool, hasUnnamedParents: Bool
    ) {
        self.isPlain = isPlain
        self.isLeaf = isLeaf
        self.comparesRows = comparesRows
        self.hasUnnamedParents = hasUnnamedParents
        self.registered = registered
        keyRange = registered.keyRange
        wireNames = registered.columns.map { Array($0.name.lowercased().utf8) }
        foreignKeys = all.indices.filter { all[$0].child == index }
        referencing = all.indices.filter { all[$0].parent == index }
        let pointing = foreignKeys.flatMap { all[$0].payloadPairs.map(\.childColumn) }
        let pointedAt = referencing.flatMap { all[$0].payloadPairs }.filter { !$0.isParentKey }
            .compactMap { pair in registered.columns.firstIndex { $0.name == pair.parentColumn } }
        valueColumns = Set(pointing + pointedAt)
        mayStoreOtherwise =
            StoredRow.mayDiffer(registered) || !registered.withheld.readOnly.isEmpty
        exceptNames = Set(registered.withheld.except.map { $0.lowercased() })
        readOnly = Dictionary(
            registered.columns.enumerated().compactMap { index, column in
                registered.withheld.readOnly[column.name].map { (index, $0) }
            }, uniquingKeysWith: { first, _ in first })
        withholds = !exceptNames.isEmpty || !readOnly.isEmpty
        var takingDefaults = ColumnSet()
        for (place, column) in registered.columns.enumerated() where column.takesDefaultForNull {
            takingDefaults.insert(place)
        }
        self.takingDefaults = takingDefaults
        var refusingNulls = ColumnSet()
        // A policy's refusal comes before the column's.
        if !registered.hasRowTriggers, !registered.policies.isWanted {
            for (place, column) in registered.columns.enumerated()
            where column.isNotNull && !column.hasDefault && registered.writes(column) {
                refusingNulls.insert(place)
            }
        }
        self.refusingNulls = refusingNulls
        let shown = Set(WireRendering.shown(of: registered).map(\.name))
        var shownColumns = ColumnSet()
        for (place, column) in registered.columns.enumerated() where shown.contains(column.name) {
            shownColumns.insert(place)
        }
        self.shownColumns = shownColumns
        var keyColumn = ColumnSet()
        if let place = registered.columns.firstIndex(where: { $0.name == registered.keyColumn }) {
            keyColumn.insert(place)
        }
        sizedColumns = shownColumns.subtracting(keyColumn)
        var textColumns = ColumnSet()
        for (place, column) in registered.columns.enumerated()
        where !registered.writes(column)
            || WireConversion(column).expression(ofText: "") != nil
        {
            textColumns.insert(place)
        }
        self.textColumns = textColumns
        ordinaryValues = registered.columns.map(\.ordinary)
        valueRules = registered.columns.map { ValueRule($0, of: registered) }
    }

    /// Whether a change says all of its row that counts: one that does not leaves the other columns
    /// as they are.
    func isWhole(_ change: Change) -> Bool {
        sizedColumns.subtracting(change.columns).isEmpty
    }

    /// The column that a payload key names. Looks at `hint` first: payloads keep the table's order.
    func column(_ key: UnsafeBufferPointer<UInt8>, hint: Int) -> Int? {
        if hint < wireNames.count, wireNames[hint].elementsEqual(key) { return hint }
        return wireNames.firstIndex { $0.elementsEqual(key) }
    }
}

/// A foreign key whose parents can be looked up by typed values.
package struct CheckedForeignKey: Sendable {
    package let key: ForeignKey
    /// Index of the child table.
    package let child: Int
    /// Index of the parent table, if it is registered.
    package let parent: Int?
    /// The pairs whose value the payload brings.
    package let payloadPairs: [Pair]
    /// Parent columns that hold the user, because the child's column is written by the server.
    package let ownerColumns: [String]

    package struct Pair: Sendable {
        /// Index of the child's column.
        package let childColumn: Int
        package let parentColumn: String
        package let type: ValueType
        /// The parent's key itself, so that its row key is the value.
        package let isParentKey: Bool
    }

    /// The types that are compared as values; a foreign key over others is left to PostgreSQL.
    package enum ValueType: Sendable {
        case uuid, integer, text

        /// - Parameter type: PostgreSQL's object identifier of the type.
        init?(_ type: UInt32) {
            switch PostgresType(rawValue: type) {
            case .uuid: self = .uuid
            case .int2, .int4, .int8: self = .integer
            case .text, .varchar, .bpchar: self = .text
            default: return nil
            }
        }
    }

    init?(_ key: ForeignKey, ofTable child: Int, in catalog: Catalog) {
        let childTable = catalog.tables[child]
        let parentTable = catalog[key.parent]
        var pairs: [Pair] = []
        var owners: [String] = []
        for pair in key.columns {
            if pair.child == childTable.ownerColumn {
                owners.append(pair.parent)
                continue
            }
            guard let type = ValueType(pair.parentType),
                // A column that stays on the server is not among them.
                let column = childTable.columns.firstIndex(where: { $0.name == pair.child })
            else { return nil }
            pairs.append(
                Pair(
                    childColumn: column, parentColumn: pair.parent, type: type,
                    isParentKey: parentTable?.keyColumn == pair.parent))
        }
        guard !pairs.isEmpty else { return nil }
        self.key = key
        self.child = child
        parent = parentTable?.position
        payloadPairs = pairs
        ownerColumns = owners
    }
    /// Whether each change that may take another parent names it: an update could name a part of
    /// several values, and a new row could take a value that the server makes.
    fileprivate func isNamed(in table: RegisteredTable) -> Bool {
        guard payloadPairs.count == 1 else { return false }
        let column = table.columns[payloadPairs[0].childColumn]
        return !column.hasDefault && !column.isReadOnly
    }
}

extension RegisteredTable {
    /// Whether uploads write a column: not the server's own, nor what PostgreSQL makes itself.
    func writes(_ column: Column) -> Bool {
        column.name != keyColumn && column.name != ownerColumn && !column.isReadOnly
    }

    /// The places of the columns that a statement writes of those that payloads name.
    func places(writing columns: ColumnSet) -> [Int] {
        self.columns.indices.filter { columns.contains($0) && writes(self.columns[$0]) }
    }
}
