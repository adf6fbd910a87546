import Model
import Testing

@testable import Sidecar

@Suite("What uploads to one table need")
struct BusinessPrivilegesTests {
    private static func key(to parent: TableName) -> ForeignKey {
        ForeignKey(name: "\(parent)_fk", parent: parent, columns: [], isDeferrable: false)
    }

    private static func cities(
        parents: [TableName], needs: [ColumnNeed]
    ) -> RegisteredTable {
        RegisteredTable(
            id: 1, name: TableName(schema: "app", table: "cities"), keyKind: .uuid,
            keyColumn: "id", mode: .table, ownerColumn: nil, foreignKeys: parents.map(key),
            columnNeeds: needs)
    }

    @Test("Parents, types and sequences come first, each once, and the table itself last")
    func list() {
        let countries = TableName(schema: "away", table: "countries")
        let itself = TableName(schema: "app", table: "cities")
        let numbers = TableName(schema: "away", table: "my numbers")
        let table = Self.cities(
            parents: [countries, itself, countries],
            needs: [.typeSchema("away"), .typeSchema("types"), .sequence(numbers)])
        #expect(
            BusinessPrivileges.of(table).flatMap(\.grants).map(\.description) == [
                "USAGE on schema \"away\"", "SELECT on table \"away\".\"countries\"",
                "USAGE on schema \"types\"", "USAGE on sequence \"away\".\"my numbers\"",
                "USAGE on schema \"app\"", "SELECT on table \"app\".\"cities\"",
                "INSERT on table \"app\".\"cities\"", "UPDATE on table \"app\".\"cities\"",
                "DELETE on table \"app\".\"cities\"",
            ])
    }

    @Test("A key with a column that stays on the server needs nothing of its parent")
    func withheld() {
        let (near, far) = (
            TableName(schema: "app", table: "regions"), TableName(schema: "far", table: "regions")
        )
        func key(_ columns: [String], to parent: TableName) -> ForeignKey {
            ForeignKey(
                name: columns.joined(), parent: parent,
                columns: columns.map { .init(child: $0, parent: $0, parentType: 25) },
                isDeferrable: false)
        }
        func needs(_ keys: ForeignKey...) -> [String] {
            let table = RegisteredTable(
                id: 1, name: TableName(schema: "app", table: "cities"), keyKind: .uuid,
                keyColumn: "id", mode: .table, ownerColumn: nil, foreignKeys: keys,
                withheld: WithheldColumns(except: ["tenant"], readOnly: ["seen": []]))
            return BusinessPrivileges.of(table).flatMap(\.grants).map(\.description)
                .filter { $0.hasPrefix("SELECT") && $0.contains("regions") }
        }
        #expect(needs(key(["tenant"], to: far)) == [])
        #expect(needs(key(["region", "tenant"], to: far)) == [])
        #expect(
            needs(key(["region"], to: near), key(["tenant"], to: far))
                == [#"SELECT on table "app"."regions""#])
        #expect(
            needs(key(["tenant"], to: far), key(["region"], to: far))
                == [#"SELECT on table "far"."regions""#], "by another key")
        #expect(
            needs(key(["seen"], to: near)) == [#"SELECT on table "app"."regions""#],
            "what some may write is asked for")
    }

    @Test("Readiness asks for all of it, whatever the names are")
    func asked() {
        let named = TableName(schema: "away", table: "numbers")
        let dotted = TableName(schema: "far.away", table: "numbers")
        let table = Self.cities(parents: [], needs: [.sequence(named), .sequence(dotted)])
        let required = BusinessPrivileges.of(table).map(\.required)
        #expect(
            required.map { "\($0)" } == [
                "USAGE on away.numbers", "USAGE on far.away.numbers", "USAGE on schema app",
                "SELECT, INSERT, UPDATE, DELETE on app.cities",
            ])
    }
}
