import Model
@testable import Sidecar
import Testing

@Suite("Parents first")
struct TableOrderTests {
    /// `child>parent` for each foreign key.
    private static func order(_ tables: String, _ keys: String...) -> String {
        let names = tables.map { TableName(schema: "s", table: String($0)) }
        let registered = names.enumerated().map { index, name in
            let parents = keys.filter { $0.first.map(String.init) == name.table }.compactMap(\.last)
            return RegisteredTable(
                id: TableID(index), name: name, keyKind: .uuid, keyColumn: "id", mode: .table,
                ownerColumn: nil,
                foreignKeys: parents.map {
                    ForeignKey(
                        name: "k", parent: TableName(schema: "s", table: String($0)), columns: [],
                        isDeferrable: false)
                })
        }
        return TableOrder.parentsFirst(registered).map(\.name.table).joined()
    }

    @Test("By name where nothing depends, by dependence otherwise")
    func order() {
        #expect(Self.order("cab") == "abc")
        #expect(Self.order("abc", "a>b", "b>c") == "cba")
        #expect(Self.order("abcd", "a>c", "b>c", "c>d") == "dcab")
        #expect(Self.order("ab", "a>x", "a>b") == "ba", "a parent that is not registered")
    }

    @Test(
        "A self reference changes nothing; a cycle stands behind what it depends on, before what depends on it"
    )
    func cycles() {
        #expect(Self.order("ab", "b>b", "a>b") == "ba")
        #expect(Self.order("abcz", "a>b", "b>a", "b>z", "c>a") == "zabc")
        #expect(
            Self.order("abcd", "a>b", "b>a", "c>d", "d>c", "a>c") == "cdba"
                || Self.order("abcd", "a>b", "b>a", "c>d", "d>c", "a>c") == "cdab")
    }

    @Test("Every dependence outside of a cycle is respected, in any graph")
    func property() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            let tables = "abcdefgh"
            // Edges from later to earlier letters of a random permutation: no cycles.
            let shuffled = Array(tables).shuffled(using: &generator)
            var keys: [String] = []
            for child in shuffled.indices {
                for parent in 0..<child where Bool.random(using: &generator) {
                    keys.append("\(shuffled[child])>\(shuffled[parent])")
                }
            }
            let names = shuffled.map { TableName(schema: "s", table: String($0)) }
            let registered = names.enumerated().map { index, name in
                RegisteredTable(
                    id: TableID(index), name: name, keyKind: .uuid, keyColumn: "id", mode: .table,
                    ownerColumn: nil,
                    foreignKeys: keys.filter { $0.hasPrefix(name.table) }.map {
                        ForeignKey(
                            name: $0, parent: TableName(schema: "s", table: String($0.suffix(1))),
                            columns: [], isDeferrable: false)
                    })
            }
            let order = TableOrder.parentsFirst(registered).map(\.name.table)
            for key in keys {
                let child = order.firstIndex(of: String(key.prefix(1))) ?? -1
                let parent = order.firstIndex(of: String(key.suffix(1))) ?? .max
                #expect(parent < child, "\(key) in \(order.joined())")
            }
        }
    }
}
