import Postgres
import Testing

@Suite struct CommandTests {
    @Test func aPipelineReturnsItsResultsInOrder() async throws {
        try await withConnection { connection in
            let results = try await connection.run([
                command("SELECT 1"), command("SELECT 'zwei'"), command("SELECT true"),
            ])
            #expect(try results[0].int32(0, 0) == 1)
            #expect(try results[1].string(0, 0) == "zwei")
            #expect(try results[2].bool(0, 0))
        }
    }
}
