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
