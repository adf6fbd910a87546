import Testing

/// What the model leaves out: PostgreSQL checks a foreign key when a set of rows is written, so that the answer to
/// each of these deletes depends on how the batch is cut.
@Suite("Rows of a tree that are deleted in one batch")
struct TreeDeletesTests {
    private static let tables = """
        CREATE TABLE s.tree (id uuid PRIMARY KEY, owner text, up uuid REFERENCES s.tree,
            n int CHECK (n < 10));
        """
    private static let depth = 9

    @Test(
        "Alone they go at once; beside refused rows each is applied or refused, and what was refused goes later",
        arguments: [false, true], [false, true])
    func deletes(_ isUpwards: Bool, _ hasPoison: Bool) async throws {
        try await SyncedDatabase.with(
            tables: Self.tables, registered: "- {table: s.tree, owner: owner}"
        ) { database in
            let levels = Array(1...Self.depth)
            let rows = levels.map { level in
                change(
                    level, "INSERT", "tree", id("a\(level)"),
                    level == 1 ? "{}" : #"{"up":"\#(id("a\(level - 1)"))"}"#)
            }
            let made = try await database.outcomes("ann", rows.joined(separator: ","))
            #expect(made == levels.map { _ in "applied 1" })

            var left = isUpwards ? levels.reversed() : levels
            var attempts = 0
            while !left.isEmpty, attempts < Self.depth {
                attempts += 1
                var batch = left.map { level in
                    change(100 + level, "DELETE", "tree", id("a\(level)"), base: 1)
                }
                if hasPoison {
                    let poison = change(
                        200 + attempts, "INSERT", "tree", id("b\(attempts)"), #"{"n":10}"#)
                    batch.insert(poison, at: batch.count / 2)
                }
                var outcomes = try await database.outcomes("ann", batch.joined(separator: ","))
                if hasPoison {
                    #expect(outcomes.remove(at: left.count / 2) == "materialize_error 23514")
                }
                #expect(
                    outcomes.allSatisfy { $0 == "applied 2" || $0 == "materialize_error 23503" },
                    "\(outcomes)")
                left = zip(left, outcomes).filter { $1 != "applied 2" }.map(\.0)
                #expect(
                    try await database.value("SELECT count(*)::text FROM s.tree") == "\(left.count)"
                )
                #expect(try await database.verify().0 == [])
            }
            #expect(left.isEmpty)
            #expect(hasPoison || attempts == 1)
        }
    }
}
