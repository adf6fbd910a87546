/// The synced tables, by name and by number.
struct DeviceCatalog: Sendable {
    let tables: [TableSchema]
    private let byWireName: [String: Int]
    private let byID: [Int64: Int]
    /// Parents have lower ranks than the tables that refer to them. Tables in a cycle have equal
    /// ranks.
    private let ranks: [Int64: Int]
    /// By a table's number, those of the other tables that refer to it.
    private let children: [Int64: Set<Int64>]

    init(_ tables: [TableSchema]) {
        self.tables = tables
        byWireName = Dictionary(uniqueKeysWithValues: tables.enumerated().map { ($1.wireName, $0) })
        byID = Dictionary(uniqueKeysWithValues: tables.enumerated().map { ($1.id, $0) })
        ranks = Self.rank(tables)
        let numbers = byWireName.mapValues { tables[$0].id }
        children = tables.reduce(into: [:]) { children, table in
            for parent in table.parents.compactMap({ numbers[$0] }) {
                children[parent, default: []].insert(table.id)
            }
        }
    }

    /// The value of the header `Oversync-Key-Kinds`; nil if all tables are of kinds that every
    /// client knows.
    var keyKindsToAskFor: String? {
        tables.contains { $0.keyForm == .integer } ? "integer" : nil
    }

    /// The same tables, with what the server says of their columns.
    func knowing(_ offered: [Capabilities.Table], schema: String) -> DeviceCatalog {
        let schema = schema.isEmpty ? "public" : schema
        return DeviceCatalog(
            tables.map { table in
                let server = offered.first { $0.schema == schema && $0.table == table.wireName }
                let ofJSON = Set(
                    (server?.columns ?? []).filter { $0.kind == ColumnFit.json }.map(\.name))
                var table = table
                for index in table.columns.indices {
                    table.columns[index].isOfJSON = ofJSON.contains(table.columns[index].wireName)
                }
                return table
            })
    }

    /// Whether a table has anything unique other than its key.
    var hasUniqueIndexes: Bool { tables.contains { !$0.uniqueIndexes.isEmpty } }

    func table(wireName: String) -> TableSchema? { byWireName[wireName].map { tables[$0] } }
    func table(id: Int64) -> TableSchema? { byID[id].map { tables[$0] } }
    func rank(ofTable id: Int64) -> Int { ranks[id] ?? 0 }
    func children(ofTable id: Int64) -> Set<Int64> { children[id] ?? [] }

    /// Raises every table above its parents. One pass per table is enough for the longest chain.
    private static func rank(_ tables: [TableSchema]) -> [Int64: Int] {
        var ranks = Dictionary(uniqueKeysWithValues: tables.map { ($0.wireName, 0) })
        for _ in tables {
            for table in tables {
                let above = table.parents.compactMap { ranks[$0] }.max().map { $0 + 1 } ?? 0
                ranks[table.wireName] = min(max(ranks[table.wireName] ?? 0, above), tables.count)
            }
        }
        return Dictionary(uniqueKeysWithValues: tables.map { ($0.id, ranks[$0.wireName] ?? 0) })
    }
}
