import Demo
import Model
import Sidecar
import Testing

@Suite("The demo's tables in a schema of the operator's choice")
struct DemoTablesTests {
    @Test("SQL and oversync.yaml name the schema everywhere")
    func renamed() throws {
        let sql = DemoTables.businessSchema(in: "trial")
        #expect(sql.contains("CREATE SCHEMA IF NOT EXISTS trial;"))
        #expect(!sql.contains("business."))
        #expect(sql.replacing("trial", with: "business") == DemoTables.businessSchema)
        let tables = try RegistrationFile.parse(DemoTables.registrations(in: "trial"))
        #expect(tables.count == 6)
        #expect(tables.allSatisfy { $0.name.schema == "trial" })
    }

    @Test("The advice names the commands that make the tables, with the schema where it is another")
    func advice() {
        #expect(DemoTables.advice(schema: "business").contains("demo --print-schema`"))
        let advice = DemoTables.advice(schema: "trial")
        #expect(advice.contains("oversync-dev demo --print-schema --schema trial"))
        #expect(advice.contains("oversync-dev demo --print-config --schema trial"))
        #expect(advice.contains("oversync migrate"))
    }
}
