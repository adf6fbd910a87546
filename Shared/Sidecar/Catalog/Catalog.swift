import Model
import Postgres

/// The registered tables as they are in the database now: what an upload needs to know of them.
package struct Catalog: Sendable {
    package let tables: [RegisteredTable]
    /// The tables that are or were registered.
    package let all: [RegisteredTable]
    /// Differs whenever two catalogs may differ: what was derived from one holds while this is the same.
    package let generation: UInt64
    /// Whether anything in the database can be checked as late as COMMIT: a foreign key of any table, a unique
    /// constraint, a trigger of the team's. An upload then has it checked before, where it can still tell which
    /// row is refused.
    package let hasDeferrableConstraints: Bool
    private let byName: [TableName: Int]
    private let byID: [TableID: Int]
    private let removed: [TableID: RegisteredTable]
    private let named: NamedAccess

    /// - Parameter tables: in any order; they are put in parents-first order here. Tables that are no longer
    ///   registered take no changes, but the log still names them.
    package init(
        tables: [RegisteredTable], hasDeferrableConstraints: Bool = false, generation: UInt64 = 0
    ) {
        self.generation = generation
        self.hasDeferrableConstraints = hasDeferrableConstraints
        removed = Dictionary(
            uniqueKeysWithValues: tables.filter(\.isRemoved).map { ($0.id, $0) })
        named = NamedAccess(tables)
        var ordered = TableOrder.parentsFirst(tables.filter { !$0.isRemoved })
        for index in ordered.indices { ordered[index].position = index }
        self.tables = ordered
        all = ordered + removed.values
        // Names that only differ in how their letters are composed are two to PostgreSQL and one here.
        byName = Dictionary(
            ordered.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        byID = Dictionary(uniqueKeysWithValues: ordered.enumerated().map { ($1.id, $0) })
    }

    package subscript(name: TableName) -> RegisteredTable? { byName[name].map { tables[$0] } }
    package subscript(id: TableID) -> RegisteredTable? { byID[id].map { tables[$0] } }

    /// The name and key of a table that is or was registered.
    package func identity(_ id: TableID) -> RegisteredTable? { self[id] ?? removed[id] }

    /// A catalog without tables.
    package static let empty = Catalog(tables: [])

    /// Everything that was read to make this catalog.
    package func isMade(of tables: [RegisteredTable]) -> Bool {
        let other = Catalog(tables: tables)
        return self.tables == other.tables && removed == other.removed
    }

    /// The tables whose changes a caller gets, those that are no longer registered included; nil if that is
    /// all of them.
    ///
    /// - Parameter schema: nil for every schema.
    package func visibleTables(inSchema schema: String?, to caller: Caller) -> [TableID]? {
        if schema == nil, all.allSatisfy({ $0.isReadable(by: caller) }) { return nil }
        return all.filter { table in
            table.isReadable(by: caller) && (schema == nil || table.name.schema == schema)
        }.map(\.id)
    }

    /// Whether a table is or was registered.
    package func hasEverHad(_ name: TableName) -> Bool {
        self[name] != nil || removed.values.contains { $0.name == name }
    }

    /// The same tables, of all schemas, by the names that devices get.
    package func readableTables(to caller: Caller) -> ReadableTables {
        named.readable(to: caller)
    }
}

/// Whether a registered table's rows also stand in a business table (decision D4).
package enum TableMode: String, Hashable, Sendable {
    /// A business table holds each applied change, in the same transaction.
    case table
    /// The sidecar alone holds the rows, as JSON.
    case sidecar
}

/// One registered table.
package struct RegisteredTable: Hashable, Sendable {
    package let id: TableID
    package let name: TableName
    package let keyKind: KeyKind
    package let keyColumn: String
    package let mode: TableMode
    /// The column that names the row's user; written by the server, never by a payload.
    package let ownerColumn: String?
    /// The business table's columns in its own order; empty in `sidecar` mode.
    package let columns: [Column]
    package let foreignKeys: [ForeignKey]
    /// What its columns depend on beyond it.
    package let columnNeeds: [ColumnNeed]
    /// The sequence that PostgreSQL takes an integer key from: devices can lease numbers of it. Nil
    /// where a key comes from elsewhere, or the sequence begins again.
    package let keySequence: KeySequence?
    /// The columns of the unique index that the key rests on: the key, and perhaps the owner.
    package let keyIndexColumns: [String]
    /// A trigger can change a row before it is stored.
    package let hasRowTriggers: Bool
    /// What writes of it may do, or meet, beyond the rows that they name.
    package let reach: WriteReach
    /// It was registered once: its rows and its log stay, changes are refused.
    package let isRemoved: Bool
    package let access: TableAccess
    /// Its columns that devices have no part in, or only look at; ``columns`` has the latter alone.
    package let withheld: WithheldColumns
    package internal(set) var policies: TablePolicies
    /// Its place in parents-first order.
    package internal(set) var position = 0

    package init(
        id: TableID, name: TableName, keyKind: KeyKind, keyColumn: String, mode: TableMode,
        ownerColumn: String?, columns: [Column] = [], foreignKeys: [ForeignKey] = [],
        columnNeeds: [ColumnNeed] = [], keySequence: KeySequence? = nil,
        keyIndexColumns: [String] = [],
        hasRowTriggers: Bool = false, reach: WriteReach = .own, isRemoved: Bool = false,
        access: TableAccess = .everybody,
        withheld: WithheldColumns = .none, policies: TablePolicies = .none
    ) {
        self.id = id
        self.name = name
        self.keyKind = keyKind
        self.keyColumn = keyColumn
        self.mode = mode
        self.ownerColumn = ownerColumn
        self.columns = columns
        self.foreignKeys = foreignKeys
        self.columnNeeds = columnNeeds
        self.keySequence = keySequence
        self.keyIndexColumns = keyIndexColumns
        self.hasRowTriggers = hasRowTriggers
        self.reach = reach
        self.isRemoved = isRemoved
        self.access = access
        self.withheld = withheld
        self.policies = policies
    }
}

extension RegisteredTable {
    /// Whether a caller gets the table's rows.
    package func isReadable(by caller: Caller) -> Bool {
        caller.asks(for: keyKind) && access.mayRead(caller)
    }

    /// Whether a caller may upload to the table.
    package func isWritable(by caller: Caller) -> Bool {
        caller.asks(for: keyKind) && access.mayWrite(caller)
    }

    /// The numbers that an integer key may be: those of its column's type.
    package var keyRange: ClosedRange<Int64> {
        let type = columns.first { $0.name == keyColumn }?.baseType ?? PostgresType.int8.rawValue
        return switch PostgresType(rawValue: type) {
        case .int2: Int64(Int16.min)...Int64(Int16.max)
        case .int4: Int64(Int32.min)...Int64(Int32.max)
        default: Int64.min...Int64.max
        }
    }

    /// PostgreSQL makes the key itself (`GENERATED ALWAYS AS IDENTITY`) unless a statement insists.
    package var isKeyOfIdentity: Bool {
        columns.contains { $0.name == keyColumn && $0.isReadOnly }
    }
}

/// What writes of a table may do, or meet, beyond the rows that they name.
package struct WriteReach: Hashable, Sendable {
    /// The rows themselves.
    package static let own = WriteReach(hasTriggers: false, comparesRows: false)

    /// Triggers of the team stand on it, of any kind.
    package let hasTriggers: Bool
    /// Rows of different keys may exclude each other: by a unique index without the key, or an
    /// exclusion constraint.
    package let comparesRows: Bool

    package init(hasTriggers: Bool, comparesRows: Bool) {
        self.hasTriggers = hasTriggers
        self.comparesRows = comparesRows
    }
}

/// Something beyond its table that a column takes a privilege on.
package enum ColumnNeed: Hashable, Sendable {
    /// The schema of its type, which statements name.
    case typeSchema(String)
    /// A sequence that its default calls. Sequences have names as tables have.
    case sequence(TableName)
}

/// The sequence of an identity, or of a default that is its next number.
package struct KeySequence: Hashable, Sendable {
    package let name: TableName
    package let oid: UInt32

    package init(name: TableName, oid: UInt32) {
        self.name = name
        self.oid = oid
    }
}

/// A foreign key of a registered table, to any table.
package struct ForeignKey: Hashable, Sendable {
    package let name: String
    package let parent: TableName
    package let columns: [Pair]
    package let isDeferrable: Bool

    /// One column of the key and the parent's column that it points to.
    package struct Pair: Hashable, Sendable {
        package let child: String
        package let parent: String
        package let parentType: UInt32

        package init(child: String, parent: String, parentType: UInt32) {
            self.child = child
            self.parent = parent
            self.parentType = parentType
        }
    }

    package init(name: String, parent: TableName, columns: [Pair], isDeferrable: Bool) {
        self.name = name
        self.parent = parent
        self.columns = columns
        self.isDeferrable = isDeferrable
    }
}
